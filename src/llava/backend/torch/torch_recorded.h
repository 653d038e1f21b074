// SPDX-License-Identifier: Apache-2.0
//
// Operations of tensor/ops.h as single nodes of the autograd graph, with gradients of their own:
// fewer passes over memory and fewer saved tensors than LibTorch's formulas taken one by one. What
// each computes is written down in ops.h.
#pragma once

#include <ATen/core/Tensor.h>

namespace llava {

/// scale * (x A^T) B^T beside a product. Without `x` A sees the product's own.
struct RecordedLowRank {
  at::Tensor x_TI;
  at::Tensor a_RI;
  at::Tensor b_OR;
  double scale = 1.0;
};

/// ops::linear with at most one low-rank term, undefined tensors where there is none. The scaled
/// term is added before the sum is rounded.
at::Tensor recorded_linear(const at::Tensor& x_TI, const at::Tensor& weight_OI,
                           const at::Tensor& bias_O, const RecordedLowRank& low_rank = {});

/// The following are for tensors of the processor's.
at::Tensor recorded_silu_mul(const at::Tensor& gate, const at::Tensor& up);
at::Tensor recorded_rms_norm(const at::Tensor& x, const at::Tensor& weight, float epsilon);
at::Tensor recorded_rope(const at::Tensor& x_THE, const at::Tensor& cos_TE,
                         const at::Tensor& sin_TE);

}  // namespace llava
