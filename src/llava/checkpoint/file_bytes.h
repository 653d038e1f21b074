// SPDX-License-Identifier: Apache-2.0
//
// The bytes of one container file, with their name for messages and what keeps them alive, and
// bounds-checked reading of little-endian numbers from them.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "llava/core/error.h"
#include "llava/tensor/tensor.h"

namespace llava::checkpoint {

static_assert(std::endian::native == std::endian::little,
              "the containers are little-endian and their tensors are mapped as they are");

/// Bytes of a container. `owner` keeps them alive; tensors that view them hold it.
struct FileBytes {
  std::string name;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

/// Maps a file.
///
/// Throws: Error(kNotFound) if it cannot be opened, Error(kBadFormat) if it is a directory or
/// empty.
FileBytes map_file(const std::filesystem::path& path);

/// A tensor over `bytes`, which lie in `file`: a view when aligned for the type, else a copy. The
/// caller has checked that the sizes agree.
Tensor tensor_over(const FileBytes& file, std::span<const std::byte> bytes, Shape shape,
                   DType dtype);

/// A position in the bytes of a file. Every read is checked; a read past the end is
/// Error(kBadFormat) with the file, the offset and what was being read.
class ByteReader {
 public:
  ByteReader(std::string_view name, std::span<const std::byte> bytes, uint64_t offset = 0)
      : name_(name), bytes_(bytes), offset_(offset) {}

  uint64_t offset() const noexcept { return offset_; }
  uint64_t remaining() const noexcept {
    return offset_ < bytes_.size() ? bytes_.size() - offset_ : 0;
  }

  template <class T>
  T number(std::string_view what) {
    static_assert(std::is_arithmetic_v<T>);
    const std::span<const std::byte> raw = take(sizeof(T), what);
    T value;
    std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }

  std::string_view text(uint64_t size, std::string_view what) {
    const std::span<const std::byte> raw = take(size, what);
    return {reinterpret_cast<const char*>(raw.data()), raw.size()};
  }

  std::span<const std::byte> take(uint64_t size, std::string_view what) {
    if (size > remaining()) {
      fail(ErrorCode::kBadFormat,
           "'{}': {} at byte {} needs {} bytes, but only {} follow: the file is damaged or "
           "incomplete",
           name_, what, offset_, size, remaining());
    }
    const auto raw = bytes_.subspan(offset_, size);
    offset_ += size;
    return raw;
  }

 private:
  std::string_view name_;
  std::span<const std::byte> bytes_;
  uint64_t offset_;
};

}  // namespace llava::checkpoint
