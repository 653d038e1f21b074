// SPDX-License-Identifier: Apache-2.0
#include "llava/text/byte_alphabet.h"

#include <array>

#include "llava/text/utf8.h"

namespace llava::text {
namespace {

constexpr bool stands_for_itself(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) ||
         (byte >= 174 && byte <= 255);
}

constexpr std::array<char16_t, 256> make_chars() {
  std::array<char16_t, 256> chars{};
  char16_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    chars[static_cast<std::size_t>(byte)] =
        stands_for_itself(byte) ? static_cast<char16_t>(byte) : next++;
  }
  return chars;
}

constexpr std::array<char16_t, 256> kChars = make_chars();
constexpr std::size_t kAlphabetEnd = 0x144;

constexpr std::array<int16_t, kAlphabetEnd> make_bytes() {
  std::array<int16_t, kAlphabetEnd> bytes{};
  for (auto& byte : bytes) byte = -1;
  for (std::size_t byte = 0; byte < 256; ++byte) bytes[kChars[byte]] = static_cast<int16_t>(byte);
  return bytes;
}

constexpr std::array<int16_t, kAlphabetEnd> kBytes = make_bytes();

}  // namespace

char32_t char_of_byte(uint8_t byte) noexcept { return kChars[byte]; }

std::optional<uint8_t> byte_of_char(char32_t code_point) noexcept {
  if (code_point >= kAlphabetEnd || kBytes[code_point] < 0) return std::nullopt;
  return static_cast<uint8_t>(kBytes[code_point]);
}

std::string to_byte_alphabet(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size() + bytes.size() / 4);
  for (const char byte : bytes) append_utf8(text, char_of_byte(static_cast<uint8_t>(byte)));
  return text;
}

std::string from_byte_alphabet(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    const auto byte = c.is_valid ? byte_of_char(c.code_point) : std::nullopt;
    if (!byte) return std::string(text);
    bytes += static_cast<char>(*byte);
    at += c.num_bytes;
  }
  return bytes;
}

}  // namespace llava::text
