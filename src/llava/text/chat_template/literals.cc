// SPDX-License-Identifier: Apache-2.0
#include "llava/text/chat_template/literals.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "llava/core/error.h"
#include "llava/text/python_text.h"
#include "llava/text/utf8.h"

namespace llava::text::jinja {
namespace {

bool is_digit(char c, int base = 10) {
  if (c >= '0' && c <= '9') return c - '0' < base;
  if (c >= 'a' && c <= 'z') return c - 'a' + 10 < base;
  if (c >= 'A' && c <= 'Z') return c - 'A' + 10 < base;
  return false;
}

// Digits with single underscores between them.
size_t digits_length(std::string_view text, int base = 10) {
  size_t length = 0;
  while (length < text.size()) {
    if (is_digit(text[length], base)) {
      ++length;
    } else if (text[length] == '_' && length > 0 && length + 1 < text.size() &&
               is_digit(text[length + 1], base)) {
      length += 2;
    } else {
      break;
    }
  }
  return length;
}

int base_of_prefix(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 10;
  switch (text[1]) {
    case 'x':
    case 'X':
      return 16;
    case 'o':
    case 'O':
      return 8;
    case 'b':
    case 'B':
      return 2;
    default:
      return 10;
  }
}

std::string without_underscores(std::string_view text) {
  std::string out(text);
  std::erase(out, '_');
  return out;
}

int64_t to_int(const std::string& digits, int base) {
  int64_t value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (result.ec == std::errc::result_out_of_range) {
    fail(ErrorCode::kUnsupported, "integer {} beyond 64 bits is not supported", digits);
  }
  return value;
}

// Overflow gives infinity, as in Python.
double to_double(const std::string& text) {
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc::result_out_of_range) {
    const size_t exponent = text.find_first_of("eE");
    const bool is_tiny = exponent != std::string::npos && text[exponent + 1] == '-';
    value = is_tiny ? 0.0 : std::numeric_limits<double>::infinity();
    return text[0] == '-' ? -value : value;
  }
  return value;
}

size_t exponent_length(std::string_view text) {
  if (text.empty() || (text[0] != 'e' && text[0] != 'E')) return 0;
  size_t length = 1;
  if (length < text.size() && (text[length] == '+' || text[length] == '-')) ++length;
  const size_t digits = digits_length(text.substr(length));
  return digits == 0 ? 0 : length + digits;
}

char32_t hex_escape(std::string_view text, size_t at, size_t num_digits) {
  char32_t code = 0;
  for (size_t i = 0; i < num_digits; ++i) {
    if (at + i >= text.size() || !is_digit(text[at + i], 16)) {
      fail(ErrorCode::kBadFormat, "escape in a string needs {} hexadecimal digits", num_digits);
    }
    const char c = text[at + i];
    const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    code = code * 16 + static_cast<char32_t>(digit);
  }
  if (code > 0x10FFFF) fail(ErrorCode::kBadFormat, "escape in a string is above U+10FFFF");
  if (code >= 0xD800 && code < 0xE000) {
    fail(ErrorCode::kUnsupported, "escape \\u{:04x} is half a character, which is not supported",
         static_cast<uint32_t>(code));
  }
  return code;
}

std::optional<char> simple_escape(char c) {
  switch (c) {
    case '\\':
    case '\'':
    case '"':
      return c;
    case 'a':
      return '\a';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'v':
      return '\v';
    default:
      return std::nullopt;
  }
}

}  // namespace

size_t number_length(std::string_view text, bool is_after_dot) {
  const size_t whole = digits_length(text);
  if (!is_after_dot) {
    size_t fraction = 0;
    if (whole < text.size() && text[whole] == '.') {
      const size_t digits = digits_length(text.substr(whole + 1));
      if (digits > 0) fraction = digits + 1;
    }
    const size_t exponent = exponent_length(text.substr(whole + fraction));
    if (fraction + exponent > 0) return whole + fraction + exponent;
  }
  const int base = base_of_prefix(text);
  if (base != 10) {
    const size_t skip = text.size() > 2 && text[2] == '_' ? 3 : 2;
    const size_t digits = digits_length(text.substr(skip), base);
    if (digits > 0) return skip + digits;
  }
  if (text[0] != '0') return whole;
  // Zero, however often; a number that begins with zero is two tokens and an error later.
  size_t length = 1;
  while (length < whole && (text[length] == '0' || text[length] == '_')) ++length;
  return length;
}

Value parse_number(std::string_view text) {
  const std::string digits = without_underscores(text);
  const int base = base_of_prefix(digits);
  if (base != 10) return Value::integer(to_int(digits.substr(2), base));
  if (digits.find_first_of(".eE") != std::string::npos) return Value::real(to_double(digits));
  return Value::integer(to_int(digits, 10));
}

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 >= text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    if (const std::optional<char> simple = simple_escape(c)) {
      out += *simple;
    } else if (c == '\n') {
      // A line that goes on in the next one.
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const size_t num_digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      append_utf8(out, hex_escape(text, i + 1, num_digits));
      i += num_digits;
    } else if (c >= '0' && c <= '7') {
      char32_t code = 0;
      size_t end = i;
      for (; end < std::min(i + 3, text.size()) && is_digit(text[end], 8); ++end) {
        code = code * 8 + static_cast<char32_t>(text[end] - '0');
      }
      append_utf8(out, code);
      i = end - 1;
    } else if (c == 'N' || static_cast<unsigned char>(c) >= 0x80) {
      fail(ErrorCode::kUnsupported, "escape '\\{}' in a string is not supported",
           c == 'N' ? "N" : "(not ASCII)");
    } else {
      out += '\\';
      out += c;
    }
  }
  return out;
}

std::optional<int64_t> parse_python_int(std::string_view text, int base) {
  text = strip_space(text);
  bool is_negative = false;
  if (text.starts_with('-') || text.starts_with('+')) {
    is_negative = text[0] == '-';
    text.remove_prefix(1);
  }
  const int prefix = base_of_prefix(text);
  if (prefix != 10 && (base == prefix || base == 0)) {
    base = prefix;
    text.remove_prefix(2);
    if (text.starts_with('_')) text.remove_prefix(1);
  } else if (base == 0) {
    base = 10;
  }
  if (text.empty() || digits_length(text, base) != text.size()) return std::nullopt;
  return to_int(fmt::format("{}{}", is_negative ? "-" : "", without_underscores(text)), base);
}

std::optional<double> parse_python_float(std::string_view text) {
  text = strip_space(text);
  std::string_view body = text;
  const bool is_negative = body.starts_with('-');
  if (body.starts_with('-') || body.starts_with('+')) body.remove_prefix(1);
  std::string lower(body);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  if (lower == "inf" || lower == "infinity" || lower == "nan") {
    const double value = lower == "nan" ? std::nan("") : std::numeric_limits<double>::infinity();
    return is_negative ? -value : value;
  }
  const size_t whole = digits_length(body);
  size_t fraction = 0;
  size_t fraction_digits = 0;
  if (whole < body.size() && body[whole] == '.') {
    fraction_digits = digits_length(body.substr(whole + 1));
    fraction = fraction_digits + 1;
  }
  if (whole + fraction_digits == 0) return std::nullopt;
  const size_t exponent = exponent_length(body.substr(whole + fraction));
  if (whole + fraction + exponent != body.size()) return std::nullopt;
  return to_double(fmt::format("{}{}", is_negative ? "-" : "", without_underscores(body)));
}

}  // namespace llava::text::jinja
