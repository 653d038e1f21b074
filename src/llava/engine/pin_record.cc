// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/pin_record.h"

#include <cstring>
#include <limits>

#include "llava/core/check.h"
#include "llava/core/error.h"

namespace llava::engine {
namespace {

constexpr std::size_t kDigestBytes = 32;
constexpr std::size_t kTokensAt = 64;
constexpr std::size_t kImagesAt = 68;
constexpr std::size_t kHeadBytes = 72;

void put_number(std::span<std::byte> out, uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) out[i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
}

uint32_t get_number(std::span<const std::byte> bytes) {
  uint32_t value = 0;
  for (std::size_t i = 4; i > 0; --i) value = value << 8 | std::to_integer<uint32_t>(bytes[i - 1]);
  return value;
}

}  // namespace

std::vector<std::byte> write_pin_record(const PinRecord& record) {
  LLAVA_CHECK(record.num_tokens >= 1 && record.images.size() <= kMaxPinnedImages);
  std::vector<std::byte> bytes(kHeadBytes + kDigestBytes * record.images.size());
  const std::span<std::byte> out = bytes;
  std::memcpy(bytes.data(), record.identity.data(), kDigestBytes);
  std::memcpy(bytes.data() + kDigestBytes, record.content.data(), kDigestBytes);
  put_number(out.subspan(kTokensAt), static_cast<uint32_t>(record.num_tokens));
  put_number(out.subspan(kImagesAt), static_cast<uint32_t>(record.images.size()));
  std::byte* at = bytes.data() + kHeadBytes;
  for (const ImageKey& image : record.images) {
    std::memcpy(at, image.digest.data(), kDigestBytes);
    at += kDigestBytes;
  }
  return bytes;
}

PinRecord parse_pin_record(std::span<const std::byte> bytes, std::string_view source) {
  if (bytes.size() < kHeadBytes) {
    fail(ErrorCode::kBadFormat, "'{}' ends at offset {}, expected {} bytes of a pin", source,
         bytes.size(), kHeadBytes);
  }
  PinRecord record;
  std::memcpy(record.identity.data(), bytes.data(), kDigestBytes);
  std::memcpy(record.content.data(), bytes.data() + kDigestBytes, kDigestBytes);
  const uint32_t num_tokens = get_number(bytes.subspan(kTokensAt));
  if (num_tokens < 1 || num_tokens > uint32_t{std::numeric_limits<int32_t>::max()}) {
    fail(ErrorCode::kBadFormat, "'{}' pins {} tokens, offset {}", source, num_tokens, kTokensAt);
  }
  record.num_tokens = static_cast<int32_t>(num_tokens);
  const uint32_t num_images = get_number(bytes.subspan(kImagesAt));
  if (num_images > kMaxPinnedImages || bytes.size() != kHeadBytes + kDigestBytes * num_images) {
    fail(ErrorCode::kBadFormat, "'{}' has {} bytes and {} pictures, offset {}", source,
         bytes.size(), num_images, kImagesAt);
  }
  record.images.resize(num_images);
  const std::byte* at = bytes.data() + kHeadBytes;
  for (ImageKey& image : record.images) {
    std::memcpy(image.digest.data(), at, kDigestBytes);
    at += kDigestBytes;
  }
  return record;
}

}  // namespace llava::engine
