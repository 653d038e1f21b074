// SPDX-License-Identifier: Apache-2.0
//
// The pickle inside a PyTorch file: a plain dict of names and tensors, in the bytes torch.save
// writes for it. The tensors' bytes lie elsewhere in the archive.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "llava/tensor/tensor.h"

namespace llava::checkpoint {

/// A contiguous tensor that begins its storage.
struct PicklableTensor {
  std::string name;
  std::string storage_key;  ///< entries with the same key share their storage
  Shape shape;
  DType dtype = DType::kFloat32;
};

/// The pickle, protocol 2.
///
/// Throws: Error(kUnsupported) for a packed type.
/// Source: the bytes that torch 2.13 writes; the published files are such dicts.
std::string pickle_tensors(const std::vector<PicklableTensor>& tensors);

}  // namespace llava::checkpoint
