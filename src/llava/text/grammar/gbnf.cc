// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/gbnf.h"

#include <map>
#include <string>

#include "llava/text/grammar/pattern_reader.h"
#include "llava/text/utf8.h"

namespace llava::text::grammar {
namespace {

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

class GbnfParser {
 public:
  explicit GbnfParser(std::string_view text) : reader_(text, "the grammar") {}

  Syntax parse() {
    for (skip_space(); !reader_.at_end(); skip_space()) parse_rule();
    for (const auto& [name, rule] : rules_) {
      if (!rule.is_defined) {
        fail(ErrorCode::kInvalidArgument,
             "the grammar uses rule '{}' but does not define it: add '{} ::= ...'", name, name);
      }
    }
    const auto root = rules_.find("root");
    if (root == rules_.end()) {
      fail(ErrorCode::kInvalidArgument,
           "the grammar has no rule 'root': name the rule that the whole answer must match so");
    }
    syntax_.root = root->second.number;
    return std::move(syntax_);
  }

 private:
  struct Rule {
    int32_t number = 0;
    bool is_defined = false;
  };

  void skip_space() {
    for (;;) {
      const char c = reader_.peek();
      if (reader_.at_end()) return;
      if (c == '#') {
        while (!reader_.at_end() && reader_.peek() != '\n') reader_.take_char();
      } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
        reader_.take_char();
      } else {
        return;
      }
    }
  }

  std::string take_name() {
    std::string name;
    while (is_name_char(reader_.peek())) name += static_cast<char>(reader_.take_char());
    return name;
  }

  Rule& rule_of(const std::string& name) {
    const auto [found, is_new] = rules_.try_emplace(name);
    if (is_new) found->second.number = syntax_.add(name);
    return found->second;
  }

  void parse_rule() {
    const std::string name = take_name();
    if (name.empty()) reader_.refuse("expected the name of a rule");
    skip_space();
    if (!reader_.take("::=")) reader_.refuse("expected '::=' behind the rule name '{}'", name);
    Rule& rule = rule_of(name);
    if (rule.is_defined) reader_.refuse("rule '{}' is defined twice", name);
    rule.is_defined = true;
    const int32_t number = rule.number;
    Expression expression = parse_choice(0);
    if (!reader_.at_end() && !begins_rule()) reader_.refuse("expected a rule, a text, [, ( or |");
    syntax_.rules[static_cast<std::size_t>(number)].expression = std::move(expression);
  }

  // Whether a name and ::= come next.
  bool begins_rule() {
    const std::size_t begin = reader_.position();
    const bool has_name = !take_name().empty();
    skip_space();
    const bool result = has_name && reader_.starts_with("::=");
    reader_.set_position(begin);
    return result;
  }

  Expression parse_choice(int depth) {
    std::vector<Expression> alternatives;
    do {
      alternatives.push_back(parse_sequence(depth));
    } while (reader_.take("|"));
    return alternatives.size() == 1 ? std::move(alternatives.front())
                                    : choice(std::move(alternatives));
  }

  Expression parse_sequence(int depth) {
    std::vector<Expression> parts;
    for (;;) {
      skip_space();
      const char c = reader_.peek();
      if (c == '"') {
        parts.push_back(parse_text());
      } else if (c == '[') {
        parts.push_back(parse_class());
      } else if (c == '.') {
        reader_.take_char();
        parts.push_back(one_of(complement({})));
      } else if (c == '(') {
        parts.push_back(parse_group(depth));
      } else if (is_name_char(c) && !begins_rule()) {
        parts.push_back(call(rule_of(take_name()).number));
      } else {
        return sequence(std::move(parts));
      }
      skip_space();
      if (const auto repetition = reader_.take_repetition()) {
        parts.back() = repeat(std::move(parts.back()), repetition->min, repetition->max);
        skip_space();
        if (reader_.take_repetition()) reader_.refuse("a repetition of a repetition");
      }
    }
  }

  Expression parse_group(int depth) {
    if (depth >= kMaxGrammarDepth) {
      reader_.refuse("groups are nested deeper than {} levels", kMaxGrammarDepth);
    }
    reader_.take("(");
    Expression group = parse_choice(depth + 1);
    if (!reader_.take(")")) reader_.refuse("expected ')'");
    return group;
  }

  Expression parse_text() {
    reader_.take("\"");
    std::string text;
    while (!reader_.take("\"")) append_utf8(text, take_escaped("\""));
    return bytes(text);
  }

  Expression parse_class() {
    reader_.take("[");
    const bool is_negated = reader_.take("^");
    std::vector<CharRange> ranges;
    while (!reader_.take("]")) {
      CharRange range;
      range.first = range.last = take_escaped("]");
      if (reader_.peek() == '-' && !reader_.starts_with("-]")) {
        reader_.take("-");
        range.last = take_escaped("]");
        if (range.last < range.first) reader_.refuse("a range of characters runs backwards");
      }
      ranges.push_back(range);
    }
    return one_of(is_negated ? complement(std::move(ranges)) : std::move(ranges));
  }

  char32_t take_escaped(std::string_view end) {
    if (reader_.at_end()) reader_.refuse("expected '{}'", end);
    if (!reader_.take("\\")) return reader_.take_char();
    if (reader_.take("n")) return '\n';
    if (reader_.take("r")) return '\r';
    if (reader_.take("t")) return '\t';
    if (reader_.take("x")) return reader_.take_hex(2);
    if (reader_.take("u")) return reader_.take_hex(4);
    if (reader_.take("U")) return reader_.take_hex(8);
    const char c = reader_.peek();
    if (c != '\0' && std::string_view("\\\"[]-^").find(c) != std::string_view::npos) {
      return reader_.take_char();
    }
    reader_.refuse("unknown escape; known are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\^ \\x \\u \\U");
  }

  PatternReader reader_;
  Syntax syntax_;
  std::map<std::string, Rule> rules_;
};

}  // namespace

Syntax parse_gbnf(std::string_view text) { return GbnfParser(text).parse(); }

}  // namespace llava::text::grammar
