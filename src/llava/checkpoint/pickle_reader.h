// SPDX-License-Identifier: Apache-2.0
//
// An interpreter for the pickles that PyTorch writes for tensors, and for nothing else. It knows a
// closed list of opcodes and of global names, constructs only the values below, and calls nothing:
// no file can choose code to run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "llava/checkpoint/file_bytes.h"

namespace llava::checkpoint {

/// A tensor as the pickle describes it: a strided window into a named storage.
struct PickledTensor {
  std::string_view storage_key;
  DType storage_dtype = DType::kUInt8;  ///< element type in which storage_numel counts
  int64_t storage_numel = 0;
  DType dtype = DType::kFloat32;
  int64_t offset = 0;  ///< in elements of dtype
  Shape shape;
  std::vector<int64_t> strides;  ///< in elements of dtype
};

/// The top-level dictionary of a pickle, in its order.
struct PickledDict {
  std::vector<std::pair<std::string_view, PickledTensor>> tensors;
  /// Keys whose value is no tensor.
  std::vector<std::string_view> skipped;
};

/// Interprets a pickle whose result is a dictionary from names to tensors, or such a dictionary
/// under the single key "state_dict" or "model". The names are views of `bytes`.
///
/// Throws: Error(kBadFormat) with the offset for damaged or inconsistent content, and for an opcode
/// or a global name that a file of tensors has no use for, which it names.
PickledDict read_pickled_tensors(std::string_view file, std::span<const std::byte> bytes);

}  // namespace llava::checkpoint
