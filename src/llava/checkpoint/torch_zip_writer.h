// SPDX-License-Identifier: Apache-2.0
//
// Writing PyTorch's .bin files: what torch.save makes of a dict of tensors.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "llava/tensor/tensor.h"

namespace llava::checkpoint {

/// Writes a PyTorch file beside `path` and renames it. torch.load gives a dict in the order of
/// `tensors`, also with weights_only=True; the bytes are those of torch.save but for the archive's
/// serialization id. Tensors that share memory and size are stored once and are one object in
/// Python; a view of a larger storage is stored without the rest of it.
///
/// Dtype: any but the packed ones, kept.
/// Throws: Error(kInvalidArgument) for a name given twice; Error(kUnsupported) for a packed type;
/// Error(kNotFound) for a missing folder; Error(kResourceExhausted) when the disk refuses.
/// Source: PyTorch 2.13, torch/serialization.py.
void write_torch_zip(const std::filesystem::path& path,
                     const std::vector<std::pair<std::string, Tensor>>& tensors);

}  // namespace llava::checkpoint
