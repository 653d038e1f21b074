// SPDX-License-Identifier: Apache-2.0
//
// The safetensors container: a JSON header that names tensors, then their bytes.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "llava/checkpoint/file_bytes.h"
#include "llava/checkpoint/tensor_source.h"

namespace llava::checkpoint {

/// A safetensors file. The header is checked completely when it is opened: types, sizes, ranges
/// that overlap or leave holes, duplicate names.
///
/// Threads: const, safe to share.
class SafetensorsFile final : public TensorSource {
 public:
  /// Throws: Error(kNotFound); Error(kBadFormat) for a damaged header; Error(kUnsupported) for a
  /// tensor type that is not known.
  static std::shared_ptr<const SafetensorsFile> open(const std::filesystem::path& path);
  explicit SafetensorsFile(FileBytes file);

  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  /// Unsigned types wider than a byte are listed, with the signed type of their width as `dtype`,
  /// but load() refuses them with Error(kUnsupported).
  Tensor load(const std::string& name) const override;

  /// The strings of `__metadata__`.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  FileBytes file_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::pair<uint64_t, uint64_t>> ranges_;
  std::map<std::string, std::string> metadata_;
};

/// Writes a safetensors file beside `path` and renames it.
///
/// Throws: Error(kInvalidArgument) for a name given twice; Error(kNotFound) for a missing folder;
/// Error(kResourceExhausted) when the disk refuses.
void write_safetensors(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, Tensor>>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace llava::checkpoint
