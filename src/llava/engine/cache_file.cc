// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/cache_file.h"

#include <algorithm>
#include <cstring>

#include "llava/core/check.h"

namespace llava::engine {
namespace {

constexpr std::string_view kMagic = "LLAVACHE";
constexpr std::size_t kVersionAt = 8;
constexpr std::size_t kKeyBytesAt = 12;
constexpr std::size_t kPayloadBytesAt = 16;
constexpr std::size_t kChecksumAt = 24;
constexpr std::size_t kReservedAt = 56;
constexpr std::size_t kAlignment = 64;

uint64_t read_integer(std::span<const std::byte> bytes) {
  uint64_t value = 0;
  for (std::size_t i = bytes.size(); i > 0; --i) {
    value = value << 8 | std::to_integer<uint64_t>(bytes[i - 1]);
  }
  return value;
}

void write_integer(uint64_t value, std::span<std::byte> out) {
  for (std::byte& byte : out) {
    byte = static_cast<std::byte>(value & 0xff);
    value >>= 8;
  }
}

bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

CacheFile parse_cache_file(std::span<const std::byte> bytes, std::string_view source) {
  if (bytes.size() < kCacheHeadBytes) {
    fail(ErrorCode::kBadFormat, "'{}' ends at offset {}, expected a head of {} bytes", source,
         bytes.size(), kCacheHeadBytes);
  }
  const auto head = bytes.first(kCacheHeadBytes);
  if (std::memcmp(head.data(), kMagic.data(), kMagic.size()) != 0) {
    fail(ErrorCode::kBadFormat, "'{}' does not begin as a cache file, offset 0", source);
  }
  const uint64_t version = read_integer(head.subspan(kVersionAt, 4));
  if (version != kCacheFileVersion) {
    fail(ErrorCode::kBadFormat, "'{}' has version {}, expected {}, offset {}", source, version,
         kCacheFileVersion, kVersionAt);
  }
  const uint64_t num_key_bytes = read_integer(head.subspan(kKeyBytesAt, 4));
  if (num_key_bytes > kMaxCacheKeyBytes) {
    fail(ErrorCode::kBadFormat, "'{}' has a key of {} bytes, expected at most {}, offset {}",
         source, num_key_bytes, kMaxCacheKeyBytes, kKeyBytesAt);
  }
  if (!all_zero(head.subspan(kReservedAt))) {
    fail(ErrorCode::kBadFormat, "'{}' has no zeros at offset {}", source, kReservedAt);
  }
  const std::size_t payload_at = cache_payload_offset(num_key_bytes);
  const uint64_t num_payload_bytes = read_integer(head.subspan(kPayloadBytesAt, 8));
  if (payload_at > bytes.size() || num_payload_bytes != bytes.size() - payload_at) {
    fail(ErrorCode::kBadFormat,
         "'{}' has {} bytes, expected a payload of {} (offset {}) from offset {}", source,
         bytes.size(), num_payload_bytes, kPayloadBytesAt, payload_at);
  }
  const auto key = bytes.subspan(kCacheHeadBytes, num_key_bytes);
  const std::size_t padding_at = kCacheHeadBytes + num_key_bytes;
  if (!all_zero(bytes.subspan(padding_at, payload_at - padding_at))) {
    fail(ErrorCode::kBadFormat, "'{}' has no zeros at offset {}", source, padding_at);
  }
  return {.head = head, .key = key, .payload = bytes.subspan(payload_at)};
}

bool has_right_checksum(const CacheFile& file) {
  Sha256Stream stream;
  stream.update(hashed_head(file.head));
  stream.update(file.key);
  stream.update(file.payload);
  const Sha256 digest = stream.finish();
  return std::memcmp(digest.data(), file.head.data() + kChecksumAt, digest.size()) == 0;
}

std::size_t cache_payload_offset(std::size_t num_key_bytes) noexcept {
  return (kCacheHeadBytes + num_key_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::array<std::byte, kCacheHeadBytes> cache_head(std::size_t num_key_bytes,
                                                  uint64_t num_payload_bytes) {
  LLAVA_CHECK(num_key_bytes <= kMaxCacheKeyBytes);
  std::array<std::byte, kCacheHeadBytes> head{};
  std::memcpy(head.data(), kMagic.data(), kMagic.size());
  const std::span<std::byte> all = head;
  write_integer(kCacheFileVersion, all.subspan(kVersionAt, 4));
  write_integer(num_key_bytes, all.subspan(kKeyBytesAt, 4));
  write_integer(num_payload_bytes, all.subspan(kPayloadBytesAt, 8));
  return head;
}

void set_checksum(std::span<std::byte, kCacheHeadBytes> head, const Sha256& digest) {
  std::memcpy(head.data() + kChecksumAt, digest.data(), digest.size());
}

std::span<const std::byte> hashed_head(std::span<const std::byte> head) {
  return head.first(kChecksumAt);
}

}  // namespace llava::engine
