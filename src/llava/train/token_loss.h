// SPDX-License-Identifier: Apache-2.0
//
// Cross-entropy of the next token at the places that are trained, and only there.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace llava::train {

/// Sum over rows of the cross-entropy between `hidden` times `head` and the targets.
///
/// The logits [N, V] are never held whole: chunks of rows are multiplied, reduced and, while
/// gradients are recorded, turned into gradients at once, so that memory is a chunk's logits plus
/// the gradient of `hidden` (and of `head` where that is trained).
/// Shapes: hidden_ND [N, D], head_VD [V, D], targets N -> scalar.   Dtype: the products in that of
/// `hidden`, everything else float32; the result is float32.
/// Throws: Error(kInternal) for a target outside the vocabulary.
/// Threads: LibTorch's; the result does not depend on their number.
at::Tensor summed_cross_entropy(const at::Tensor& hidden_ND, const at::Tensor& head_VD,
                                std::span<const int64_t> targets);

}  // namespace llava::train
