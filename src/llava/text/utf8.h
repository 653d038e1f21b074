// SPDX-License-Identifier: Apache-2.0
//
// UTF-8 as tokenizers need it: decoding one character at a time, replacing what is not valid, and
// finding the unfinished character at the end of a text that is still growing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace llava::text {

/// U+FFFD in UTF-8.
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";
/// U+2581, which SentencePiece writes for a space.
inline constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";

/// One step of decoding.
struct Utf8Char {
  char32_t code_point = 0;  ///< U+FFFD when not valid
  uint32_t num_bytes = 0;   ///< of an invalid sequence: its maximal subpart, at least 1
  bool is_valid = false;
};

/// Decodes the character at byte `at`, which must be inside the text. Surrogates, overlong forms
/// and values above U+10FFFF are invalid.
Utf8Char decode_utf8(std::string_view text, std::size_t at) noexcept;

/// Appends a code point; values that are no scalar become U+FFFD.
void append_utf8(std::string& text, char32_t code_point);

bool is_valid_utf8(std::string_view text) noexcept;

/// Replaces every maximal invalid subpart by one U+FFFD, as Python's errors="replace" and the
/// Unicode standard (chapter 3.9) do.
std::string replace_invalid_utf8(std::string_view text);

/// Number of bytes at the end that are the beginning of a character whose rest may still come.
std::size_t unfinished_utf8_suffix(std::string_view text) noexcept;

/// White_Space of the Unicode character database.
bool is_unicode_space(char32_t code_point) noexcept;

/// The regular-expression class \w of UTS #18: letters, marks, decimal digits, connectors, joiners.
bool is_unicode_word(char32_t code_point) noexcept;

/// Replaces every occurrence of a non-empty `from`.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

}  // namespace llava::text
