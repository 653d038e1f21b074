// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/regular_expression.h"

#include <optional>
#include <string>
#include <utility>

#include "llava/text/grammar/gbnf.h"
#include "llava/text/grammar/pattern_reader.h"

namespace llava::text::grammar {
namespace {

using Ranges = std::vector<CharRange>;

const Ranges kDigits{{'0', '9'}};
const Ranges kWordChars{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const Ranges kSpaces{{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680},
                     {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F},
                     {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
/// What \s stands for: the part of the above on which all dialects agree.
const Ranges kPlainSpaces{{'\t', '\r'}, {' ', ' '}};
const Ranges kLineEnds{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

class RegexParser {
 public:
  RegexParser(std::string_view text, RegexScope scope, const CharForm& char_form)
      : reader_(text, "the regular expression"), scope_(scope), char_form_(char_form) {}

  Expression parse() {
    std::vector<Expression> alternatives;
    do {
      alternatives.push_back(parse_outer_alternative());
    } while (reader_.take("|"));
    if (!reader_.at_end()) reader_.refuse("')' without '('");
    return choice(std::move(alternatives));
  }

 private:
  Expression anything() const { return repeat(char_form_(complement({})), 0, std::nullopt); }

  // One that is in no group: it may have anchors.
  Expression parse_outer_alternative() {
    const bool is_free = scope_ == RegexScope::kAnyPart;
    const bool has_start = reader_.take("^");
    std::vector<Expression> parts;
    if (is_free && !has_start) parts.push_back(anything());
    parts.push_back(parse_sequence(0));
    const bool has_end = reader_.take("$");
    if (has_end && !reader_.at_end() && reader_.peek() != '|') {
      reader_.refuse("'$' is supported at the end of an alternative only");
    }
    if (is_free && !has_end) parts.push_back(anything());
    return sequence(std::move(parts));
  }

  Expression parse_choice(int depth) {
    std::vector<Expression> alternatives;
    do {
      alternatives.push_back(parse_sequence(depth));
    } while (reader_.take("|"));
    return choice(std::move(alternatives));
  }

  Expression parse_sequence(int depth) {
    std::vector<Expression> parts;
    for (;;) {
      const char c = reader_.peek();
      if (reader_.at_end() || c == '|' || c == ')' || (c == '$' && depth == 0)) {
        return sequence(std::move(parts));
      }
      parts.push_back(parse_item(depth));
      if (const auto repetition = reader_.take_repetition()) {
        parts.back() = repeat(std::move(parts.back()), repetition->min, repetition->max);
        reader_.take("?");  // lazy
        if (reader_.peek() == '+') reader_.refuse("possessive repetitions are not supported");
        if (reader_.take_repetition()) reader_.refuse("a repetition of a repetition");
      }
    }
  }

  Expression parse_item(int depth) {
    const char c = reader_.peek();
    switch (c) {
      case '(':
        return parse_group(depth);
      case '[':
        return char_form_(parse_class());
      case '.':
        reader_.take_char();
        return char_form_(complement(kLineEnds));
      case '\\':
        reader_.take_char();
        return char_form_(normalized(take_escape(/*in_class=*/false)));
      case '^':
      case '$':
        reader_.refuse("'{}' is supported at the ends of alternatives outside of groups only", c);
      case '*':
      case '+':
      case '?':
        reader_.refuse("'{}' repeats nothing", c);
      default:
        break;
    }
    const char32_t code_point = reader_.take_char();
    return char_form_({{code_point, code_point}});
  }

  Expression parse_group(int depth) {
    if (depth >= kMaxGrammarDepth) {
      reader_.refuse("groups are nested deeper than {} levels", kMaxGrammarDepth);
    }
    for (const std::string_view assertion : {"(?=", "(?!", "(?<=", "(?<!"}) {
      if (reader_.starts_with(assertion)) {
        reader_.refuse("look-around ('{}') is not supported", assertion);
      }
    }
    reader_.take("(");
    if (reader_.take("?<") || reader_.take("?P<")) {
      while (!reader_.take(">")) {
        if (reader_.at_end()) reader_.refuse("expected '>' behind the name of a group");
        reader_.take_char();
      }
    } else if (!reader_.take("?:") && reader_.peek() == '?') {
      reader_.refuse("flags and other groups that begin with '(?' are not supported");
    }
    Expression group = parse_choice(depth + 1);
    if (!reader_.take(")")) reader_.refuse("expected ')'");
    return group;
  }

  Ranges parse_class() {
    reader_.take("[");
    const bool is_negated = reader_.take("^");
    Ranges ranges;
    // As in Python, a bracket in front is a character; so no class is empty.
    for (bool is_first = true; is_first || reader_.peek() != ']'; is_first = false) {
      if (reader_.at_end()) reader_.refuse("expected ']'");
      if (reader_.starts_with("[:")) reader_.refuse("named classes ('[:') are not supported");
      if (is_first && reader_.peek() == ']') reader_.refuse("a class without characters");
      const Ranges first = take_class_char();
      const bool is_char = first.size() == 1 && first[0].first == first[0].last;
      if (!is_char || reader_.peek() != '-' || reader_.starts_with("-]")) {
        ranges.insert(ranges.end(), first.begin(), first.end());
        continue;
      }
      reader_.take("-");
      if (reader_.at_end()) reader_.refuse("expected ']'");
      const Ranges last = take_class_char();
      if (last.size() != 1 || last[0].first != last[0].last || last[0].last < first[0].first) {
        reader_.refuse("a range of characters without an end, or one that runs backwards");
      }
      ranges.push_back({first[0].first, last[0].last});
    }
    reader_.take("]");
    return is_negated ? complement(std::move(ranges)) : normalized(std::move(ranges));
  }

  Ranges take_class_char() {
    if (reader_.take("\\")) return take_escape(/*in_class=*/true);
    const char32_t code_point = reader_.take_char();
    return {{code_point, code_point}};
  }

  static Ranges only(char32_t code_point) { return {{code_point, code_point}}; }

  // What follows a backslash.
  Ranges take_escape(bool in_class) {
    if (reader_.at_end()) reader_.refuse("a backslash at the end");
    const char32_t c = reader_.take_char();
    switch (c) {
      case 'd':
        return kDigits;
      case 'D':
        return complement(kDigits);
      case 'w':
        return kWordChars;
      case 'W':
        return complement(kWordChars);
      case 's':
        return kPlainSpaces;
      case 'S':
        return complement(kSpaces);
      case 'n':
        return only('\n');
      case 'r':
        return only('\r');
      case 't':
        return only('\t');
      case 'f':
        return only('\f');
      case 'v':
        return only('\v');
      case 'x':
        return only(reader_.take_hex(2));
      case 'u':
        return only(take_unicode_escape());
      case '0':
        if (reader_.peek() < '0' || reader_.peek() > '9') return only(0);
        break;
      case 'b':
        if (in_class) return only('\b');
        break;
      default:
        break;
    }
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (c >= '0' && c <= '9') reader_.refuse("back-references and octal escapes are not supported");
    if (is_letter) reader_.refuse("the escape '\\{}' is not supported", static_cast<char>(c));
    return only(c);
  }

  // \uHHHH or \u{H...}.
  char32_t take_unicode_escape() {
    if (reader_.take("{")) {
      std::size_t num_digits = reader_.text().find('}', reader_.position());
      if (num_digits == std::string_view::npos) reader_.refuse("expected '}}'");
      num_digits -= reader_.position();
      if (num_digits < 1 || num_digits > 6) reader_.refuse("expected 1 to 6 digits");
      const char32_t code_point = reader_.take_hex(static_cast<int>(num_digits));
      reader_.take("}");
      return code_point;
    }
    return reader_.take_hex(4);
  }

  PatternReader reader_;
  RegexScope scope_;
  const CharForm& char_form_;
};

}  // namespace

Expression parse_regex(std::string_view text, RegexScope scope, const CharForm& char_form) {
  return RegexParser(text, scope, char_form).parse();
}

}  // namespace llava::text::grammar
