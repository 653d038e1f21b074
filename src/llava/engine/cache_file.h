// SPDX-License-Identifier: Apache-2.0
//
// The form of one file of the disk cache: a head, the key, the payload. docs/cli.md says what the
// folder is for; disk_cache.h keeps it.
//
//   offset  bytes  content
//        0      8  "LLAVACHE"
//        8      4  version, 1
//       12      4  K, bytes of the key, at most kMaxCacheKeyBytes
//       16      8  N, bytes of the payload
//       24     32  SHA-256 of bytes 0 to 24, the key and the payload
//       56      8  zero
//       64      K  key
//                  zeros up to a multiple of 64
//                N payload, up to the end of the file
//
// Integers are little-endian.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "llava/core/hash.h"

namespace llava::engine {

inline constexpr uint32_t kCacheFileVersion = 1;
inline constexpr std::size_t kCacheHeadBytes = 64;
inline constexpr std::size_t kMaxCacheKeyBytes = std::size_t{64} << 20;

/// One file taken apart; refers to its bytes.
struct CacheFile {
  std::span<const std::byte> head;
  std::span<const std::byte> key;
  std::span<const std::byte> payload;
};

/// Takes a file apart. The checksum is has_right_checksum's business.
///
/// Throws: Error(kBadFormat) naming `source` and the offset of what is wrong.   Threads: safe.
CacheFile parse_cache_file(std::span<const std::byte> bytes, std::string_view source);

/// Whether the checksum in the head is that of the content; reads all of it.
bool has_right_checksum(const CacheFile& file);

/// Where the payload begins.
std::size_t cache_payload_offset(std::size_t num_key_bytes) noexcept;

/// Head without its checksum, to be hashed before key and payload.
std::array<std::byte, kCacheHeadBytes> cache_head(std::size_t num_key_bytes,
                                                  uint64_t num_payload_bytes);
/// Writes the checksum into a head.
void set_checksum(std::span<std::byte, kCacheHeadBytes> head, const Sha256& digest);
/// The part of a head that its checksum covers.
std::span<const std::byte> hashed_head(std::span<const std::byte> head);

}  // namespace llava::engine
