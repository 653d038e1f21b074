// SPDX-License-Identifier: Apache-2.0
//
// Writing a safetensors file tensor by tensor; write_safetensors() (safetensors.h) takes them all
// at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "llava/checkpoint/planned_tensor.h"
#include "llava/core/replaced_file.h"

namespace llava::checkpoint {

/// Writes beside the target and renames.
///
/// Threads: one thread at a time.
/// Source: the safetensors format; the order of tensors is that of its own library (widest types
/// first, then by name), so that every tensor is aligned for its type.
class SafetensorsWriter {
 public:
  /// Throws: Error(kInvalidArgument) for a name given twice; Error(kUnsupported) for a packed type;
  /// Error(kNotFound) for a missing folder; Error(kResourceExhausted) when the disk refuses.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<PlannedTensor> tensors,
                    const std::map<std::string, std::string>& metadata = {});

  /// In the order in which they are to be written.
  const std::vector<PlannedTensor>& tensors() const noexcept { return tensors_; }

  /// The next tensor. Throws: Error(kInternal) for another shape or type than planned;
  /// Error(kResourceExhausted) when the disk refuses.
  void write(const Tensor& tensor);

  /// All tensors are written: brings them to the disk. Throws: as ReplacedFile::flush.
  void flush();
  /// Flushes and renames. Throws: as ReplacedFile::finish.
  void finish();

 private:
  std::vector<PlannedTensor> tensors_;
  std::size_t next_ = 0;
  ReplacedFile file_;
};

}  // namespace llava::checkpoint
