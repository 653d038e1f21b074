// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/lexer.h"

#include <algorithm>
#include <array>
#include <optional>

#include "llava/core/error.h"
#include "llava/text/chat_template/literals.h"
#include "llava/text/python_text.h"
#include "llava/text/utf8.h"

namespace llava::text::jinja {
namespace {

constexpr std::string_view kAsciiDigits = "0123456789";

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

bool is_name_part(char c) { return is_name_start(c) || (c >= '0' && c <= '9'); }

// All line ends become "\n" and one at the end of the template is dropped.
std::string normalized_source(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(std::string source, std::string_view label) : source_(std::move(source)), label_(label) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) lex_text();
    add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }

  void add(TokenKind kind, std::string text) {
    tokens_.push_back({kind, line_, std::move(text), Value()});
  }

  // Moves over `count` bytes, counting lines.
  void advance(size_t count) {
    const auto begin = source_.begin() + static_cast<std::ptrdiff_t>(at_);
    line_ += static_cast<int>(std::count(begin, begin + static_cast<std::ptrdiff_t>(count), '\n'));
    at_ += count;
  }

  void skip_space() { advance(rest().size() - strip_space(rest(), StripSide::kLeft).size()); }

  void skip_newline() {
    if (rest().starts_with('\n')) advance(1);
  }

  // The sign after an opening mark, or before a closing one.
  char take_sign() {
    const std::string_view text = rest();
    if (text.empty() || (text[0] != '-' && text[0] != '+')) return 0;
    advance(1);
    return text[0];
  }

  // Text before a tag, after what the tag's sign and lstrip_blocks take from its end.
  void add_text_before(size_t text_begin, size_t text_end, char sign, bool is_variable) {
    std::string_view text = std::string_view(source_).substr(text_begin, text_end - text_begin);
    if (sign == '-') {
      text = strip_space(text, StripSide::kRight);
    } else if (sign != '+' && !is_variable) {
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      const bool is_whole_line = line_begin > 0 || is_line_start_;
      if (is_whole_line && strip_space(text.substr(line_begin)).empty()) {
        text = text.substr(0, line_begin);
      }
    }
    if (!text.empty())
      tokens_.push_back({TokenKind::kText, text_line_, std::string(text), Value()});
  }

  void lex_text() {
    const size_t begin = at_;
    text_line_ = line_;
    size_t tag = begin;
    for (;; ++tag) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos) {
        advance(source_.size() - at_);
        tokens_.push_back({TokenKind::kText, text_line_, source_.substr(begin), Value()});
        return;
      }
      const char next = tag + 1 < source_.size() ? source_[tag + 1] : 0;
      if (next == '{' || next == '%' || next == '#') break;
    }
    const char mark = source_[tag + 1];
    advance(tag + 2 - at_);
    const char sign = take_sign();
    add_text_before(begin, tag, sign, mark == '{');
    if (mark == '#') {
      skip_comment();
    } else if (mark == '{') {
      add(TokenKind::kVariableBegin, "");
      lex_tag(/*is_block=*/false);
    } else if (!lex_raw()) {
      add(TokenKind::kBlockBegin, "");
      lex_tag(/*is_block=*/true);
    }
    is_line_start_ = at_ > 0 && source_[at_ - 1] == '\n';
  }

  void skip_comment() {
    const size_t content = at_;
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) syntax_error("Missing end of comment tag");
    const char sign = end > content ? source_[end - 1] : 0;
    advance(end + 2 - at_);
    if (sign == '-') {
      skip_space();
    } else if (sign != '+') {
      skip_newline();
    }
  }

  // {% raw %} ... {% endraw %}; at_ is behind the opening mark and its sign.
  bool lex_raw() {
    std::string_view text = strip_space(rest(), StripSide::kLeft);
    if (!text.starts_with("raw")) return false;
    text = strip_space(text.substr(3), StripSide::kLeft);
    const bool is_stripping = text.starts_with("-%}");
    if (!is_stripping && !text.starts_with("%}")) return false;
    advance(source_.size() - text.size() - at_);
    advance(is_stripping ? 3 : 2);
    if (is_stripping) skip_space();
    is_line_start_ = source_[at_ - 1] == '\n';
    const size_t begin = at_;
    text_line_ = line_;
    for (size_t tag = begin;; ++tag) {
      tag = source_.find("{%", tag);
      if (tag == std::string::npos) syntax_error("Missing end of raw directive");
      const std::optional<RawEnd> end = raw_end_at(tag);
      if (!end) continue;
      add_text_before(begin, tag, end->open_sign, /*is_variable=*/false);
      advance(end->after - at_);
      finish_block(end->close_sign);
      return true;
    }
  }

  struct RawEnd {
    char open_sign = 0;
    char close_sign = 0;
    size_t after = 0;
  };

  std::optional<RawEnd> raw_end_at(size_t tag) const {
    RawEnd end;
    std::string_view text = std::string_view(source_).substr(tag + 2);
    if (text.starts_with('-') || text.starts_with('+')) {
      end.open_sign = text[0];
      text.remove_prefix(1);
    }
    text = strip_space(text, StripSide::kLeft);
    if (!text.starts_with("endraw")) return std::nullopt;
    text = strip_space(text.substr(6), StripSide::kLeft);
    if (text.starts_with('-') || text.starts_with('+')) {
      end.close_sign = text[0];
      text.remove_prefix(1);
    }
    if (!text.starts_with("%}")) return std::nullopt;
    end.after = source_.size() - text.size() + 2;
    return end;
  }

  // White space behind a block's closing mark.
  void finish_block(char sign) {
    if (sign == '-') {
      skip_space();
    } else if (sign != '+') {
      skip_newline();
    }
  }

  // The inside of a tag up to and including its closing mark.
  void lex_tag(bool is_block) {
    const std::string_view close = is_block ? "%}" : "}}";
    const int first_line = line_;
    std::string brackets;
    while (true) {
      skip_space();
      const std::string_view text = rest();
      if (text.empty()) {
        fail(ErrorCode::kBadFormat, "chat template '{}' line {}: a tag that begins here has no end",
             label_, first_line);
      }
      if (brackets.empty()) {
        const bool has_sign = text.starts_with('-') || (is_block && text.starts_with('+'));
        if (text.substr(has_sign ? 1 : 0).starts_with(close)) {
          const char sign = has_sign ? text[0] : '\0';
          add(is_block ? TokenKind::kBlockEnd : TokenKind::kVariableEnd, "");
          advance(close.size() + (has_sign ? 1 : 0));
          if (is_block) {
            finish_block(sign);
          } else if (sign == '-') {
            skip_space();
          }
          return;
        }
      }
      lex_token(brackets);
    }
  }

  void lex_token(std::string& brackets) {
    const std::string_view text = rest();
    if (kAsciiDigits.find(text[0]) != std::string_view::npos) {
      const bool is_after_dot = at_ > 0 && source_[at_ - 1] == '.';
      const size_t length = number_length(text, is_after_dot);
      tokens_.push_back({TokenKind::kNumber, line_, std::string(text.substr(0, length)), Value()});
      located([&] { tokens_.back().number = parse_number(text.substr(0, length)); });
      advance(length);
    } else if (is_name_start(text[0])) {
      const auto end = std::find_if_not(text.begin(), text.end(), is_name_part);
      const auto length = static_cast<size_t>(end - text.begin());
      add(TokenKind::kName, std::string(text.substr(0, length)));
      advance(length);
    } else if (text[0] == '\'' || text[0] == '"') {
      lex_string(text);
    } else {
      lex_operator(text, brackets);
    }
  }

  void lex_string(std::string_view text) {
    size_t end = 1;
    while (end < text.size() && text[end] != text[0]) end += text[end] == '\\' ? 2 : 1;
    if (end >= text.size()) syntax_error("a string that begins here has no end");
    located([&] { add(TokenKind::kString, unescape(text.substr(1, end - 1))); });
    advance(end + 1);
  }

  void lex_operator(std::string_view text, std::string& brackets) {
    static constexpr std::array<std::string_view, 6> kLong = {"**", "//", "==", "!=", ">=", "<="};
    static constexpr std::string_view kShort = "+-/*%~[](){}><=.:|,;";
    for (const std::string_view op : kLong) {
      if (!text.starts_with(op)) continue;
      add(TokenKind::kOperator, std::string(op));
      advance(op.size());
      return;
    }
    const char c = text[0];
    if (kShort.find(c) == std::string_view::npos) {
      const Utf8Char character = decode_utf8(text, 0);
      syntax_error(fmt::format("unexpected character U+{:04X}",
                               static_cast<uint32_t>(character.code_point)));
    }
    if (c == '(' || c == '[' || c == '{') {
      brackets += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty() || brackets.back() != c) syntax_error(fmt::format("unexpected '{}'", c));
      brackets.pop_back();
    }
    add(TokenKind::kOperator, std::string(1, c));
    advance(1);
  }

  [[noreturn]] void syntax_error(const std::string& what) const {
    fail(ErrorCode::kBadFormat, "chat template '{}' line {}: {}", label_, line_, what);
  }

  // Runs `step` and puts the place in front of what it throws.
  template <class Step>
  void located(const Step& step) const {
    try {
      step();
    } catch (const Error& error) {
      fail(error.code(), "chat template '{}' line {}: {}", label_, line_, error.what());
    }
  }

  std::string source_;
  std::string_view label_;
  size_t at_ = 0;
  int line_ = 1;
  int text_line_ = 1;
  bool is_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize_template(std::string_view source, std::string_view label) {
  return Lexer(normalized_source(source), label).run();
}

}  // namespace llava::text::jinja
