// SPDX-License-Identifier: Apache-2.0
//
// The record of a named pin on disk: what its name stands for.
//
//   offset  bytes  content
//        0     32  SHA-256 of the identity of the model (model_identity.h)
//       32     32  SHA-256 of the prefix's key (cache_keys.h)
//       64      4  tokens, at least 1
//       68      4  N, pictures, at most kMaxPinnedImages
//       72   32 N  keys of the pictures
//
// Integers are little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "llava/core/hash.h"
#include "llava/engine/image_key.h"

namespace llava::engine {

inline constexpr std::size_t kMaxPinnedImages = 1024;

struct PinRecord {
  Sha256 identity{};
  Sha256 content{};
  int32_t num_tokens = 0;
  std::vector<ImageKey> images;

  friend bool operator==(const PinRecord&, const PinRecord&) = default;
};

std::vector<std::byte> write_pin_record(const PinRecord& record);

/// Throws: Error(kBadFormat) naming `source` and the offset of what is wrong.   Threads: safe.
PinRecord parse_pin_record(std::span<const std::byte> bytes, std::string_view source);

}  // namespace llava::engine
