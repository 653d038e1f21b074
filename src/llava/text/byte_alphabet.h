// SPDX-License-Identifier: Apache-2.0
//
// The printable alphabet that byte-level vocabularies are written in (GPT-2): each byte is a
// visible character, so that any text is a sequence of vocabulary entries.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace llava::text {

/// The character that stands for a byte.
char32_t char_of_byte(uint8_t byte) noexcept;

/// The byte that a character stands for, if it belongs to the alphabet.
std::optional<uint8_t> byte_of_char(char32_t code_point) noexcept;

/// Writes bytes in the alphabet, as UTF-8.
std::string to_byte_alphabet(std::string_view bytes);

/// Bytes of a text in the alphabet; a text with any other character stands for itself.
std::string from_byte_alphabet(std::string_view text);

}  // namespace llava::text
