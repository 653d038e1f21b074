// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/file_bytes.h"

#include <utility>

#include "llava/core/check.h"
#include "llava/core/file.h"

namespace llava::checkpoint {

FileBytes map_file(const std::filesystem::path& path) {
  auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  if (bytes.empty()) {
    fail(ErrorCode::kBadFormat, "'{}' is empty, expected a tensor file: download it again",
         path.string());
  }
  return {path.string(), bytes, std::move(file)};
}

Tensor tensor_over(const FileBytes& file, std::span<const std::byte> bytes, Shape shape,
                   DType dtype) {
  const auto alignment = static_cast<std::uintptr_t>(item_size(dtype));
  if (reinterpret_cast<std::uintptr_t>(bytes.data()) % alignment == 0) {
    return Tensor::view_of(file.owner, bytes, std::move(shape), dtype);
  }
  Tensor copy = Tensor::empty(std::move(shape), dtype);
  LLAVA_CHECK(copy.mutable_bytes().size() == bytes.size());
  std::memcpy(copy.mutable_bytes().data(), bytes.data(), bytes.size());
  return copy;
}

}  // namespace llava::checkpoint
