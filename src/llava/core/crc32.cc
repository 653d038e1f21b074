// SPDX-License-Identifier: Apache-2.0
#include "llava/core/crc32.h"

#include <array>
#include <bit>
#include <cstring>

namespace llava {
namespace {

// Eight bytes a step: table k holds the effect of a byte that k further bytes follow.
constexpr std::size_t kStep = 8;
using Tables = std::array<std::array<uint32_t, 256>, kStep>;

constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) {
      value = (value & 1u) != 0 ? (value >> 1) ^ 0xEDB88320u : value >> 1;
    }
    tables[0][i] = value;
  }
  for (std::size_t k = 1; k < kStep; ++k) {
    for (std::size_t i = 0; i < 256; ++i) {
      const uint32_t previous = tables[k - 1][i];
      tables[k][i] = (previous >> 8) ^ tables[0][previous & 0xFFu];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

static_assert(std::endian::native == std::endian::little, "words are read as they lie");

}  // namespace

uint32_t crc32(std::span<const std::byte> bytes, uint32_t before) {
  uint32_t crc = ~before;
  while (bytes.size() >= kStep) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), kStep);
    word ^= crc;
    crc = 0;
    for (std::size_t k = 0; k < kStep; ++k) {
      crc ^= kTables[kStep - 1 - k][(word >> (8 * k)) & 0xFFu];
    }
    bytes = bytes.subspan(kStep);
  }
  for (const std::byte byte : bytes) {
    crc = (crc >> 8) ^ kTables[0][(crc ^ std::to_integer<uint32_t>(byte)) & 0xFFu];
  }
  return ~crc;
}

}  // namespace llava
