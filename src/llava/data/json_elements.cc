// SPDX-License-Identifier: Apache-2.0
#include "llava/data/json_elements.h"

#include <string>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/text/utf8.h"

namespace llava::data {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

class Scanner {
 public:
  Scanner(std::string_view text, std::string_view source) : text_(text), source_(source) {}

  std::vector<ElementRange> run() {
    if (text_.starts_with(kByteOrderMark)) {
      stop("a byte order mark stands first: save the file as UTF-8 without one");
    }
    skip_space();
    if (at_end()) {
      fail(ErrorCode::kBadFormat, "{} is empty, expected a JSON array of samples or JSON lines",
           source_);
    }
    if (peek() == '[') {
      scan_array();
    } else if (peek() == '{') {
      scan_lines();
    } else {
      stop("expected '[' (an array of samples) or '{' (JSON lines)");
    }
    return std::move(elements_);
  }

 private:
  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\0' : text_[at_]; }

  [[noreturn]] void stop(std::string_view reason) const {
    fail(ErrorCode::kBadFormat, "{}: not valid JSON at byte {}, in sample {}: {}", source_, at_,
         elements_.size(), reason);
  }

  // White space; true if there was the end of a line.
  bool skip_space() {
    bool has_line_end = false;
    for (; !at_end(); ++at_) {
      const char c = text_[at_];
      if (c == '\n') has_line_end = true;
      if (c != ' ' && c != '\n' && c != '\r' && c != '\t') break;
    }
    return has_line_end;
  }

  void scan_element() {
    const std::size_t begin = at_;
    skip_value(1);
    const uint64_t size = at_ - begin;
    if (size > kMaxElementBytes) {
      at_ = begin;
      stop(fmt::format("it has {} bytes, expected at most {}", size, kMaxElementBytes));
    }
    elements_.push_back({begin, size});
  }

  void scan_array() {
    ++at_;
    skip_space();
    if (peek() != ']') {
      for (;;) {
        scan_element();
        skip_space();
        if (peek() == ']') break;
        if (at_end()) stop("the file ends within the array: get it again");
        if (peek() != ',') stop("expected ',' or ']' after a sample");
        ++at_;
        skip_space();
        if (peek() == ']') stop("a comma before the closing ']': remove it");
      }
    }
    ++at_;
    skip_space();
    if (!at_end()) stop("text after the closing ']'");
  }

  void scan_lines() {
    for (;;) {
      if (peek() != '{') stop("expected '{', a sample on a line of its own");
      scan_element();
      const bool has_line_end = skip_space();
      if (at_end()) return;
      if (!has_line_end) stop("expected the end of the line after a sample");
    }
  }

  void skip_value(int depth) {
    if (depth > kMaxJsonDepth) stop(fmt::format("nested deeper than {} levels", kMaxJsonDepth));
    switch (peek()) {
      case '{':
        return skip_object(depth);
      case '[':
        return skip_array(depth);
      case '"':
        return skip_string();
      case 't':
        return skip_word("true");
      case 'f':
        return skip_word("false");
      case 'n':
        return skip_word("null");
      default:
        return skip_number();
    }
  }

  // What follows an element of `close`: false when that was the last.
  bool has_next(char close) {
    skip_space();
    if (peek() == close) {
      ++at_;
      return false;
    }
    if (at_end()) stop("the file ends within a sample: get it again");
    if (peek() != ',') stop(fmt::format("expected ',' or '{}'", close));
    ++at_;
    skip_space();
    if (peek() == close) stop(fmt::format("a comma before the closing '{}': remove it", close));
    return true;
  }

  // True for a container that is closed at once.
  bool is_empty(char close) {
    ++at_;
    skip_space();
    if (peek() != close) return false;
    ++at_;
    return true;
  }

  void skip_object(int depth) {
    if (is_empty('}')) return;
    do {
      if (peek() != '"') stop("expected a key in double quotes");
      skip_string();
      skip_space();
      if (peek() != ':') stop("expected ':' after a key");
      ++at_;
      skip_space();
      skip_value(depth + 1);
    } while (has_next('}'));
  }

  void skip_array(int depth) {
    if (is_empty(']')) return;
    do {
      skip_value(depth + 1);
    } while (has_next(']'));
  }

  void skip_string() {
    for (++at_;;) {
      if (at_end()) stop("the file ends within a string: get it again");
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '"') break;
      if (c == '\\') {
        skip_escape();
      } else if (c < 0x20) {
        stop("a control character in a string: write it as an escape");
      } else if (c < 0x80) {
        ++at_;
      } else {
        const text::Utf8Char character = text::decode_utf8(text_, at_);
        if (!character.is_valid) stop("bytes that are no UTF-8");
        at_ += character.num_bytes;
      }
    }
    ++at_;
  }

  void skip_escape() {
    ++at_;
    const char c = peek();
    if (c != 'u') {
      if (c == '\0' || std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos) {
        stop("an unknown escape in a string");
      }
      ++at_;
      return;
    }
    const uint32_t unit = read_unit();
    if (unit < 0xD800 || unit > 0xDFFF) return;
    const bool is_pair = unit < 0xDC00 && text_.substr(at_).starts_with("\\u");
    if (is_pair) ++at_;
    const uint32_t second = is_pair ? read_unit() : 0;
    if (second < 0xDC00 || second > 0xDFFF) stop("half of a surrogate pair");
  }

  // The number after "\u".
  uint32_t read_unit() {
    uint32_t unit = 0;
    ++at_;
    for (int i = 0; i < 4; ++i, ++at_) {
      if (!is_hex(peek())) stop("expected four hexadecimal digits after \\u");
      const char c = peek();
      const auto digit = static_cast<uint32_t>(is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
      unit = unit * 16 + digit;
    }
    return unit;
  }

  void skip_word(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) stop("expected a value");
    at_ += word.size();
  }

  void skip_digits() {
    if (!is_digit(peek())) stop("expected a value");
    while (is_digit(peek())) ++at_;
  }

  void skip_number() {
    if (peek() == '-') ++at_;
    if (peek() == '0') {
      ++at_;
    } else {
      skip_digits();
    }
    if (peek() == '.') {
      ++at_;
      skip_digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      skip_digits();
    }
  }

  std::string_view text_;
  std::string_view source_;
  std::size_t at_ = 0;
  std::vector<ElementRange> elements_;
};

}  // namespace

std::vector<ElementRange> find_elements(std::string_view text, std::string_view source) {
  return Scanner(text, source).run();
}

}  // namespace llava::data
