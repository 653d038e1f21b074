// SPDX-License-Identifier: Apache-2.0
//
// Where the parts of a packed store lie, for its reader and its writer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "llava/checkpoint/packed_store.h"
#include "llava/core/hash.h"

namespace llava::checkpoint {

/// Offsets in the head of the file; the header text follows the head, zeros fill up to the data.
inline constexpr std::size_t kStoreVersionAt = 8;
inline constexpr std::size_t kStoreAlignmentAt = 12;
inline constexpr std::size_t kStoreHeaderBytesAt = 16;
inline constexpr std::size_t kStoreFileBytesAt = 24;
inline constexpr std::size_t kStoreChecksumAt = 32;
inline constexpr std::size_t kStoreHeadBytes = 64;
/// Of every tensor: a page, so that a mapping's pages belong to one tensor each.
inline constexpr uint64_t kStoreAlignment = 4096;
/// A 7B has 200 kB.
inline constexpr uint64_t kMaxStoreHeaderBytes = 100'000'000;

/// Rounded up to kStoreAlignment; nothing when that does not fit.
inline std::optional<uint64_t> store_aligned(uint64_t offset) {
  if (offset > UINT64_MAX - (kStoreAlignment - 1)) return std::nullopt;
  return (offset + kStoreAlignment - 1) / kStoreAlignment * kStoreAlignment;
}

/// Checksum of the head before its place, and of the header text.
inline Sha256 store_header_checksum(std::span<const std::byte> head, std::string_view text) {
  Sha256Stream stream;
  stream.update(head.first(kStoreChecksumAt));
  stream.update(std::as_bytes(std::span(text)));
  return stream.finish();
}

/// Types that a store holds: those a model computes in, and the packed forms.
inline bool is_store_type(DType dtype) { return is_compute_dtype(dtype) || is_packed(dtype); }

}  // namespace llava::checkpoint
