// SPDX-License-Identifier: Apache-2.0
//
// The synthetic picture, checksums and file access that the tests of this folder share.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "llava/core/hash.h"
#include "llava/image/rgb_image.h"
#include "support/paths.h"

namespace llava::image {

/// The picture of which published checksums exist.
inline RgbImage synthetic(int32_t width, int32_t height) {
  RgbImage image(ImageSize{width, height});
  uint8_t* out = image.pixels.data();
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      *out++ = static_cast<uint8_t>(7 * x + 13 * y + (x * y) % 251);
      *out++ = static_cast<uint8_t>(3 * x + 5 * y + 64 + 100 * ((x / 8 + y / 8) % 2));
      *out++ = static_cast<uint8_t>((x * x + 3 * y * y) / 16);
    }
  }
  return image;
}

/// CRC-32 as in zlib and PNG.
inline uint32_t crc32_of(std::span<const std::byte> bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> entries{};
    for (uint32_t i = 0; i < 256; ++i) {
      entries[i] = i;
      for (int bit = 0; bit < 8; ++bit) {
        entries[i] = entries[i] >> 1 ^ (0xEDB88320u & (0u - (entries[i] & 1)));
      }
    }
    return entries;
  }();
  uint32_t crc = 0xFFFFFFFF;
  for (const std::byte byte : bytes) {
    crc = table[(crc ^ static_cast<uint32_t>(byte)) & 0xFF] ^ crc >> 8;
  }
  return ~crc;
}

template <class T>
uint32_t crc32_of(const std::vector<T>& values) {
  return crc32_of(std::as_bytes(std::span(values)));
}

template <class T>
std::string sha256_of(const std::vector<T>& values) {
  return to_hex(sha256(std::as_bytes(std::span(values))));
}

inline std::filesystem::path data_folder() { return test_data() / "image"; }

inline std::vector<std::byte> bytes_of(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(stream), {}};
  const auto bytes = std::as_bytes(std::span(content));
  return {bytes.begin(), bytes.end()};
}

/// Rows of a table of words.
inline std::vector<std::vector<std::string>> read_table(const std::filesystem::path& path) {
  std::vector<std::vector<std::string>> rows;
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    rows.emplace_back(std::istream_iterator<std::string>(words),
                      std::istream_iterator<std::string>());
  }
  return rows;
}

}  // namespace llava::image
