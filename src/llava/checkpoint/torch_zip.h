// SPDX-License-Identifier: Apache-2.0
//
// PyTorch's .bin files since version 1.6: a ZIP archive of a pickle and raw storages.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "llava/checkpoint/file_bytes.h"
#include "llava/checkpoint/pickle_reader.h"
#include "llava/checkpoint/tensor_source.h"

namespace llava::checkpoint {

/// A PyTorch file. Everything is checked when it is opened: archive, pickle, every tensor against
/// its storage. Contiguous tensors are views of the mapping, strided ones become copies.
///
/// Threads: const, safe to share.
class TorchZipFile final : public TensorSource {
 public:
  /// Throws: Error(kNotFound); Error(kBadFormat) for damaged or hostile content;
  /// Error(kUnsupported) for TorchScript, big-endian and compressed archives.
  static std::shared_ptr<const TorchZipFile> open(const std::filesystem::path& path);
  explicit TorchZipFile(FileBytes file);

  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  Tensor load(const std::string& name) const override;

 private:
  struct Place {
    std::span<const std::byte> storage;
    PickledTensor tensor;
  };

  FileBytes file_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, Place> places_;
};

}  // namespace llava::checkpoint
