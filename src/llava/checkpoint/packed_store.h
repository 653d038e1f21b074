// SPDX-License-Identifier: Apache-2.0
//
// The packed store: one file, model.llava, with the tensors of a model in the form they are
// computed with. Opening it reads the header only; tensors are views of the mapping, which
// processes share. docs/checkpoints.md describes the bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "llava/checkpoint/file_bytes.h"
#include "llava/checkpoint/planned_tensor.h"
#include "llava/checkpoint/tensor_source.h"
#include "llava/core/hash.h"
#include "llava/core/progress.h"
#include "llava/core/thread_pool.h"

namespace llava::checkpoint {

/// Name of the file in a checkpoint folder.
inline constexpr std::string_view kPackedStoreFile = "model.llava";
/// First bytes of the file.
inline constexpr std::string_view kPackedStoreMagic = "LLAVAPAK";
inline constexpr uint32_t kPackedStoreVersion = 1;

/// A packed store. The header is checked completely when it is opened: its checksum, version, the
/// file's length, types, shapes, ranges that overlap or leave holes, duplicate names. The bytes of
/// the tensors are not: that is what verify() is for.
///
/// Threads: const, safe to share.
class PackedStore final : public TensorSource {
 public:
  /// Throws: Error(kNotFound); Error(kBadFormat) for a damaged header or a truncated file;
  /// Error(kUnsupported) for another version or tensor type.
  static std::shared_ptr<const PackedStore> open(const std::filesystem::path& path);
  explicit PackedStore(FileBytes file);

  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  Tensor load(const std::string& name) const override;

  /// Facts about the model, by key.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// What is damaged: a sentence for every tensor whose bytes do not have their checksum, in the
  /// order of the file, and one for bytes between tensors that are not zero. Reports bytes read.
  std::vector<std::string> verify(ThreadPool& pool, const ProgressCallback& on_progress = {}) const;

 private:
  struct Place {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    Sha256 checksum{};
  };

  void read_header(std::string_view text, uint64_t data_begin);
  std::span<const std::byte> bytes_of(const Place& place) const;

  FileBytes file_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, Place> places_;
  std::vector<std::string> order_;  // by offset
  std::map<std::string, std::string> metadata_;
  uint64_t header_end_ = 0;
};

/// Writes a packed store tensor by tensor; the header, whose size is known before, comes last, so
/// that a file whose writing was interrupted is refused.
///
/// Threads: one thread at a time.
class PackedStoreWriter {
 public:
  /// Throws: Error(kInvalidArgument) for a name given twice; Error(kUnsupported) for a type that
  /// the store does not hold; Error(kNotFound) when the file cannot be created.
  PackedStoreWriter(const std::filesystem::path& path, std::vector<PlannedTensor> tensors,
                    std::map<std::string, std::string> metadata);
  ~PackedStoreWriter();
  PackedStoreWriter(const PackedStoreWriter&) = delete;
  PackedStoreWriter& operator=(const PackedStoreWriter&) = delete;

  /// Length of the finished file.
  uint64_t file_bytes() const { return file_bytes_; }

  /// The next tensor of the plan, in host memory.
  /// Throws: Error(kInternal) when it is another; Error(kResourceExhausted) when the disk refuses.
  void write(const Tensor& tensor);
  /// Ends the file and hands it to the disk. Throws: as write().
  void finish();

 private:
  struct Place {
    uint64_t offset = 0;
    Sha256 checksum{};
  };

  std::string header_text() const;
  void write_at(uint64_t offset, std::span<const std::byte> bytes);

  std::filesystem::path path_;
  std::vector<PlannedTensor> tensors_;
  std::map<std::string, std::string> metadata_;
  std::vector<Place> places_;
  std::size_t next_ = 0;
  uint64_t header_bytes_ = 0;
  uint64_t file_bytes_ = 0;
  int descriptor_ = -1;
};

}  // namespace llava::checkpoint
