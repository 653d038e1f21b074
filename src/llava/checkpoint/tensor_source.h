// SPDX-License-Identifier: Apache-2.0
//
// What every container of tensors looks like to the loader: safetensors, PyTorch zip, GGUF, and
// sets of their shards.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "llava/tensor/tensor.h"

namespace llava::checkpoint {

/// One tensor of a container as its header describes it.
struct TensorInfo {
  std::string name;
  Shape shape;
  DType dtype = DType::kFloat32;  ///< what load() returns; quantised formats give float32 or packed
  std::string stored_as;          ///< the container's own name of the type: "F16", "Q4_K", ...
  int64_t stored_bytes = 0;       ///< bytes in the file
  std::string file;               ///< path of the file that holds it
};

/// A read-only set of named tensors.
///
/// Threads: const, safe to share.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  /// All tensors by name.
  virtual const std::map<std::string, TensorInfo>& tensors() const = 0;

  /// The tensor in host memory. Stored float and integer types are views of the mapped file when
  /// aligned and contiguous, else copies; quantised types are dequantised to float32, or packed
  /// (tensor/packed.h) where the source was opened so.
  ///
  /// Throws: Error(kNotFound) for an unknown name, Error(kBadFormat) for damaged data.
  virtual Tensor load(const std::string& name) const = 0;
};

}  // namespace llava::checkpoint
