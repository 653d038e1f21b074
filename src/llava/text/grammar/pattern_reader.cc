// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/pattern_reader.h"

#include <algorithm>

#include "llava/text/grammar/automaton.h"
#include "llava/text/grammar/gbnf.h"
#include "llava/text/utf8.h"

namespace llava::text::grammar {

PatternReader::PatternReader(std::string_view text, std::string_view what)
    : text_(text), what_(what) {
  if (text.size() > kMaxGrammarBytes) {
    fail(ErrorCode::kInvalidArgument, "{} has {} bytes, expected at most {}: make it shorter", what,
         text.size(), kMaxGrammarBytes);
  }
  if (!is_valid_utf8(text)) fail(ErrorCode::kInvalidArgument, "{} is not valid UTF-8", what);
}

void PatternReader::refuse_with(const std::string& reason) const {
  const std::string_view before = text_.substr(0, at_);
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const std::size_t column = 1 + at_ - (before.rfind('\n') + 1);
  fail(ErrorCode::kInvalidArgument, "{}, line {}, byte {}: {}", what_, line, column, reason);
}

char32_t PatternReader::take_char() {
  const Utf8Char next = decode_utf8(text_, at_);
  at_ += next.num_bytes;
  return next.code_point;
}

char32_t PatternReader::take_hex(int num_digits) {
  char32_t value = 0;
  for (int i = 0; i < num_digits; ++i) {
    const char c = peek();
    const bool is_digit = c >= '0' && c <= '9';
    const char lower = static_cast<char>(c | 0x20);
    if (!is_digit && (lower < 'a' || lower > 'f')) {
      refuse("expected {} hexadecimal digits", num_digits);
    }
    value = 16 * value + static_cast<char32_t>(is_digit ? c - '0' : lower - 'a' + 10);
    ++at_;
  }
  if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
    refuse("{:X} is no code point of a text", static_cast<uint32_t>(value));
  }
  return value;
}

std::optional<int32_t> PatternReader::take_count() {
  if (peek() < '0' || peek() > '9') return std::nullopt;
  int32_t count = 0;
  for (; peek() >= '0' && peek() <= '9'; ++at_) {
    count = 10 * count + (peek() - '0');
    if (count > static_cast<int32_t>(kMaxGrammarStates)) {
      refuse("a repetition of more than {} times is not supported", kMaxGrammarStates);
    }
  }
  return count;
}

std::optional<Repetition> PatternReader::take_repetition() {
  if (take("*")) return Repetition{0, std::nullopt};
  if (take("+")) return Repetition{1, std::nullopt};
  if (take("?")) return Repetition{0, 1};
  const std::size_t begin = at_;
  if (!take("{")) return std::nullopt;
  Repetition result;
  const auto min = take_count();
  result.min = min.value_or(0);
  result.max = min;
  if (take(",")) result.max = take_count();
  // "{" without a count is an ordinary character for some notations: nothing is taken.
  if (!min || !take("}")) {
    at_ = begin;
    return std::nullopt;
  }
  if (result.max && *result.max < result.min) {
    refuse("a repetition of {} to {} times", result.min, *result.max);
  }
  return result;
}

}  // namespace llava::text::grammar
