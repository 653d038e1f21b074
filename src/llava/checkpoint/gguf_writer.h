// SPDX-License-Identifier: Apache-2.0
//
// Writing GGUF, version 3: typed metadata, a table of tensors, their data from multiples of 32 on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llava/checkpoint/gguf_dequantize.h"
#include "llava/tensor/tensor.h"

namespace llava::checkpoint {

/// Metadata in the bytes of the format.
class GgufMetadata {
 public:
  GgufMetadata() = default;

  void add(std::string_view key, std::string_view value);
  void add(std::string_view key, uint32_t value);
  void add(std::string_view key, float value);
  void add(std::string_view key, bool value);
  void add(std::string_view key, std::span<const std::string> values);
  void add(std::string_view key, std::span<const float> values);
  void add(std::string_view key, std::span<const int32_t> values);
  /// Values that are in those bytes already, such as another file's.
  void append(std::string_view bytes, uint64_t count);

  uint64_t count() const noexcept { return count_; }
  const std::string& bytes() const noexcept { return bytes_; }

 private:
  void begin(std::string_view key, uint32_t type);
  void put_string(std::string_view text);
  template <class T>
  void put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }

  std::string bytes_;
  uint64_t count_ = 0;
};

/// The type that holds a tensor: blocks for the packed forms they store exactly, float32 for
/// vectors, float16 for a matrix whose inputs fill up no block.
GgufType gguf_type_of(DType dtype, const Shape& shape);

/// A tensor in the bytes of `type`. Row i of the result is row source_rows[i] of `tensor`, or row i
/// where `source_rows` is empty.
///
/// Throws: Error(kInternal) when type and tensor do not fit.
std::string to_gguf(const Tensor& tensor, GgufType type, std::span<const int64_t> source_rows = {});

/// Writes a file tensor by tensor.
///
/// Threads: one thread at a time.
class GgufWriter {
 public:
  struct Entry {
    std::string name;
    Shape shape;  ///< outermost first
    GgufType type = GgufType::kF32;
  };

  /// Throws: Error(kNotFound) when the file cannot be created.
  GgufWriter(const std::filesystem::path& path, const GgufMetadata& metadata,
             std::vector<Entry> entries);

  /// Length of the finished file.
  uint64_t file_bytes() const noexcept { return file_bytes_; }
  const std::vector<Entry>& entries() const noexcept { return entries_; }

  /// The next tensor, in the bytes of its type.
  /// Throws: Error(kInternal) for another size; Error(kResourceExhausted) when the disk refuses.
  void write(std::string_view data);
  /// Throws: as write().
  void finish();

 private:
  void put(std::string_view bytes);

  std::filesystem::path path_;
  std::vector<Entry> entries_;
  std::size_t next_ = 0;
  uint64_t file_bytes_ = 0;
  std::ofstream file_;
};

}  // namespace llava::checkpoint
