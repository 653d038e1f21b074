// SPDX-License-Identifier: Apache-2.0
//
// CRC-32 as ZIP archives and PNG files have it: the reflected polynomial 0xEDB88320.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace llava {

/// CRC-32 of `bytes`, continuing from that of the bytes before them.
///
/// Threads: safe.
/// Source: ISO 3309, as the ZIP format names it (APPNOTE 4.4.7).
uint32_t crc32(std::span<const std::byte> bytes, uint32_t before = 0);

}  // namespace llava
