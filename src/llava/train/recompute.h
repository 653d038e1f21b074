// SPDX-License-Identifier: Apache-2.0
//
// Gradient checkpointing (arXiv:1604.06174): a layer keeps its input alone and runs again in the
// backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>

namespace llava::train {

/// Runs `function` on `x` without recording; the backward pass runs it again, recorded, and goes
/// through it. Gradients of the leaves that `function` uses are accumulated in them. `function` has
/// to compute the same both times, and must live until then.
///
/// Nothing is recorded unless `x` requires gradients: make the first layer's input require them.
at::Tensor recompute_in_backward(const std::function<at::Tensor(const at::Tensor&)>& function,
                                 const at::Tensor& x);

}  // namespace llava::train
