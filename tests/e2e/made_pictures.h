// SPDX-License-Identifier: Apache-2.0
//
// Picture files that claim to be what they are not.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "program.h"

namespace llava::testing {

inline std::string big_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

inline std::string little_endian(uint32_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

inline uint32_t crc32(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0);
  }
  return ~crc;
}

inline std::string chunk(const std::string& type, const std::string& data) {
  return big_endian(static_cast<uint32_t>(data.size())) + type + data +
         big_endian(crc32(type + data));
}

/// A grey PNG of any claimed size with the data of one black pixel: whole when it is 1x1.
/// `chunks` stand before its data.
inline std::string png(uint32_t width, uint32_t height, const std::string& chunks = {}) {
  const std::string header =
      big_endian(width) + big_endian(height) + std::string("\x08\0\0\0\0", 5);
  const std::string stored("\x78\x01\x01\x02\x00\xFD\xFF\x00\x00\x00\x02\x00\x01", 13);
  return std::string("\x89PNG\r\n\x1a\n") + chunk("IHDR", header) + chunks + chunk("IDAT", stored) +
         chunk("IEND", "");
}

inline std::string gif(uint32_t side) {
  const std::string size = little_endian(side, 2) + little_endian(side, 2);
  return std::string("GIF89a") + size + std::string("\0\0\0", 3) + "," + std::string(4, '\0') +
         size + std::string("\0\x02\x02\x4c\x01\0;", 7);
}

inline std::string bmp(uint32_t side) {
  return std::string("BM") + little_endian(54, 4) + little_endian(0, 4) + little_endian(54, 4) +
         little_endian(40, 4) + little_endian(side, 4) + little_endian(side, 4) +
         little_endian(1, 2) + little_endian(24, 2) + std::string(24, '\0');
}

/// A sound JPEG whose frame header claims another size.
inline std::string jpeg(uint32_t side) {
  std::string file = read_text(golden_image("landscape_96x64.jpg"));
  const std::size_t frame = file.find("\xff\xc0");
  EXPECT_NE(frame, std::string::npos);
  const std::string bytes = big_endian(side << 16 | side);
  return file.replace(frame + 5, 4, bytes);
}

}  // namespace llava::testing
