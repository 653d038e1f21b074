// SPDX-License-Identifier: Apache-2.0
//
// Python's str over UTF-8, as far as published prompts depend on it: which characters are white
// space, what strip, upper and repr do, and counting by code points. Every function takes valid
// UTF-8; text from outside goes through replace_invalid_utf8 (utf8.h) first.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace llava::text {

/// Which ends of a text to strip.
enum class StripSide { kLeft, kRight, kBoth };

/// Code point at `offset`, which moves behind it.
char32_t next_code_point(std::string_view text, size_t& offset);

/// Number of code points, `len(text)`.
size_t count_code_points(std::string_view text);

/// Byte offset of the code point with this index; the size of the text beyond its end.
size_t byte_offset_of(std::string_view text, size_t index);

/// True for the characters of Python's str.isspace().
bool is_python_space(char32_t code_point);

/// True for the characters that repr() shows as themselves.
bool is_python_printable(char32_t code_point);

/// Python's strip(), lstrip(), rstrip() without an argument.
std::string_view strip_space(std::string_view text, StripSide side = StripSide::kBoth);

/// Python's strip(chars): removes characters of the set `chars` from the ends.
std::string_view strip_characters(std::string_view text, std::string_view chars, StripSide side);

/// Python's upper() and lower().
///
/// Throws: Error(kUnsupported) naming the character when its case mapping is not one character.
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);

/// Words with a capital and then small letters. A character is inside of a word when
/// `continues_word` holds for the one before it.
std::string capitalize_words(std::string_view text, bool (*continues_word)(char32_t));

/// Every non-overlapping `from` replaced by `to`, at most `max_count` times; an empty `from` is
/// refused by the callers.
std::string replace_text(std::string_view text, std::string_view from, std::string_view to,
                         size_t max_count = std::string_view::npos);

/// Python's splitlines(): the lines of the text, which Python also ends at separators other than
/// "\n".
std::vector<std::string_view> python_lines(std::string_view text, bool keeps_ends);

}  // namespace llava::text
