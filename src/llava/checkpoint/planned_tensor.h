// SPDX-License-Identifier: Apache-2.0
//
// A tensor that a file is going to hold, known before its bytes are.
#pragma once

#include <cstdint>
#include <string>

#include "llava/tensor/tensor.h"

namespace llava::checkpoint {

struct PlannedTensor {
  std::string name;
  Shape shape;
  DType dtype = DType::kFloat32;

  int64_t num_bytes() const { return tensor_bytes(shape, dtype); }
};

}  // namespace llava::checkpoint
