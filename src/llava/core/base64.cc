// SPDX-License-Identifier: Apache-2.0
#include "llava/core/base64.h"

#include <array>
#include <cstdint>

namespace llava {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr int8_t kOther = -1;
constexpr int8_t kSpace = -2;

constexpr std::array<int8_t, 256> kValues = [] {
  std::array<int8_t, 256> values{};
  values.fill(kOther);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
  }
  values['-'] = 62;
  values['_'] = 63;
  for (const char space : {' ', '\t', '\r', '\n'}) values[static_cast<uint8_t>(space)] = kSpace;
  return values;
}();

std::optional<std::string> decode(std::string_view text, bool is_lenient) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  uint32_t bits = 0;
  int num_digits = 0;
  std::size_t at = 0;
  for (; at < text.size() && text[at] != '='; ++at) {
    const int8_t value = kValues[static_cast<uint8_t>(text[at])];
    if (value == kSpace || (value == kOther && is_lenient)) continue;
    if (value == kOther) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(value);
    if (++num_digits < 4) continue;
    bytes += static_cast<char>(bits >> 16);
    bytes += static_cast<char>(bits >> 8);
    bytes += static_cast<char>(bits);
    bits = 0;
    num_digits = 0;
  }
  if (num_digits == 1) return std::nullopt;
  if (num_digits >= 2) bytes += static_cast<char>(bits >> (num_digits == 2 ? 4 : 10));
  if (num_digits == 3) bytes += static_cast<char>(bits >> 2);
  if (is_lenient) return bytes;
  for (; at < text.size(); ++at) {
    if (text[at] != '=' && kValues[static_cast<uint8_t>(text[at])] != kSpace) return std::nullopt;
  }
  return bytes;
}

}  // namespace

std::optional<std::string> decode_base64(std::string_view text) { return decode(text, false); }

std::optional<std::string> decode_base64_leniently(std::string_view text) {
  return decode(text, true);
}

std::string encode_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::string_view part = bytes.substr(at, 3);
    uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      bits = bits << 8 | (i < part.size() ? static_cast<uint8_t>(part[i]) : 0u);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      text += i <= part.size() ? kAlphabet[bits >> (18 - 6 * i) & 63] : '=';
    }
  }
  return text;
}

}  // namespace llava
