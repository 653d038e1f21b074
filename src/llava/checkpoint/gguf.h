// SPDX-License-Identifier: Apache-2.0
//
// The GGUF container, versions 2 and 3: typed metadata, then tensors, many of them in block
// formats.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llava/checkpoint/file_bytes.h"
#include "llava/checkpoint/gguf_dequantize.h"
#include "llava/checkpoint/tensor_source.h"
#include "llava/core/thread_pool.h"

namespace llava::checkpoint {

/// A GGUF file. Metadata and tensor table are checked completely when it is opened; metadata values
/// are decoded when asked for. Shapes are outermost first, as everywhere here.
///
/// Threads: const, safe to share.
class GgufFile final : public TensorSource {
 public:
  /// Throws: Error(kNotFound); Error(kBadFormat) with the offset for damaged content;
  /// Error(kUnsupported) for another version, byte order or tensor type, and for split models.
  static std::shared_ptr<const GgufFile> open(const std::filesystem::path& path);
  explicit GgufFile(FileBytes file);

  const std::string& name() const { return file_.name; }
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  /// Plain types are views of the mapping, block types are converted to float32.
  Tensor load(const std::string& name) const override;
  /// Row i of the result is row source_rows[i] of the tensor's outermost dimension.
  Tensor load_rows(const std::string& name, std::span<const int64_t> source_rows) const;

  /// The packed form of a matrix of a block type; nothing for other tensors.
  std::optional<DType> packed_form(const std::string& name) const;
  /// The matrix in that form, its rows in the order of `source_rows`, or as they are if empty.
  Tensor load_packed(const std::string& name, std::span<const int64_t> source_rows,
                     ThreadPool& pool) const;

  bool has(std::string_view key) const { return find(key) != nullptr; }
  bool is_array(std::string_view key) const;
  /// Metadata values; nothing when the key is absent.
  /// Throws: Error(kBadFormat) naming the key when it has another type.
  std::optional<int64_t> get_int(std::string_view key) const;
  std::optional<double> get_number(std::string_view key) const;
  std::optional<bool> get_bool(std::string_view key) const;
  std::optional<std::string> get_string(std::string_view key) const;
  std::optional<std::vector<int64_t>> get_int_list(std::string_view key) const;
  std::optional<std::vector<float>> get_float_list(std::string_view key) const;
  std::optional<std::vector<std::string>> get_string_list(std::string_view key) const;
  /// All metadata keys in order.
  std::vector<std::string> keys() const;
  /// A GGUF file of the same metadata and no tensors.
  std::string without_tensors() const;

 private:
  struct Value {
    uint32_t type = 0;
    uint32_t item_type = 0;  ///< of an array
    uint64_t count = 0;      ///< of an array
    uint64_t offset = 0;     ///< of the value, or of an array's first item
  };
  struct Place {
    GgufType type = GgufType::kF32;
    std::span<const std::byte> bytes;
  };

  const Value* find(std::string_view key) const;
  [[noreturn]] void wrong_type(std::string_view key, std::string_view expected) const;
  void read_metadata(ByteReader& reader, uint64_t count);
  void read_value(ByteReader& reader, const std::string& key, Value& value) const;
  void read_tensors(ByteReader& reader, uint64_t count);
  void read_tensor(ByteReader& reader, std::map<std::string, uint64_t>& offsets);
  uint64_t alignment() const;

  FileBytes file_;
  std::map<std::string, Value, std::less<>> metadata_;
  uint64_t metadata_end_ = 0;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, Place> places_;
};

}  // namespace llava::checkpoint
