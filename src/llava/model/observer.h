// SPDX-License-Identifier: Apache-2.0
//
// A look at intermediate tensors while the model runs, for `llava parity` and tests.
#pragma once

#include <functional>
#include <string>

#include "llava/tensor/tensor.h"

namespace llava::model {

/// Called with a reference bundle's name for the tensor ("vision_hidden.3", "hidden.0", ...). Empty
/// in ordinary use.
using Observer = std::function<void(const std::string& name, const Tensor& value)>;

}  // namespace llava::model
