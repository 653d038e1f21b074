// SPDX-License-Identifier: Apache-2.0
//
// A place in the text of a grammar or regular expression, and what both notations read alike.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "llava/core/error.h"

namespace llava::text::grammar {

/// How often something is repeated.
struct Repetition {
  int32_t min = 0;
  std::optional<int32_t> max;
};

/// Reads a text from front to back. `what` names it in messages.
class PatternReader {
 public:
  /// Throws: Error(kInvalidArgument) if the text is no UTF-8 or longer than kMaxGrammarBytes.
  PatternReader(std::string_view text, std::string_view what);

  bool at_end() const noexcept { return at_ == text_.size(); }
  /// The next byte, or 0 at the end.
  char peek() const noexcept { return at_end() ? '\0' : text_[at_]; }
  bool starts_with(std::string_view prefix) const noexcept {
    return text_.substr(at_).starts_with(prefix);
  }
  /// Skips `prefix` if it comes next.
  bool take(std::string_view prefix) noexcept {
    if (!starts_with(prefix)) return false;
    at_ += prefix.size();
    return true;
  }
  /// The next character; not at the end.
  char32_t take_char();
  /// A code point written in exactly `num_digits` hexadecimal digits.
  char32_t take_hex(int num_digits);
  /// *, +, ?, {m}, {m,} or {m,n}, if one comes next.
  std::optional<Repetition> take_repetition();

  std::size_t position() const noexcept { return at_; }
  void set_position(std::size_t at) noexcept { at_ = at; }
  std::string_view text() const noexcept { return text_; }

  /// Throws Error(kInvalidArgument) with the line and column.
  template <class... Args>
  [[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) const {
    refuse_with(fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  [[noreturn]] void refuse_with(const std::string& reason) const;
  std::optional<int32_t> take_count();

  std::string_view text_;
  std::string_view what_;
  std::size_t at_ = 0;
};

}  // namespace llava::text::grammar
