// SPDX-License-Identifier: Apache-2.0
//
// Matrix products of training, forward and backward. On a processor LibTorch's 16-bit products are
// slow, so those run on this project's bfloat16 kernels where the instruction set has a dot product
// for them, and elsewhere in float32; both sum in float32 and round once.
//
// None of them records gradients. Shape letters: T rows, I inputs, O outputs.
#pragma once

#include <ATen/core/Tensor.h>

namespace llava {

/// x [T, I], weight [O, I], bias [O] or undefined -> x weight^T + bias [T, O].
at::Tensor product(const at::Tensor& x_TI, const at::Tensor& weight_OI,
                   const at::Tensor& bias_O = {});
/// y [T, O], weight [O, I] -> y weight [T, I]: the gradient of product()'s x.
at::Tensor product_with_columns(const at::Tensor& y_TO, const at::Tensor& weight_OI);
/// y [T, O], x [T, I] -> y^T x [O, I]: the gradient of product()'s weight.
at::Tensor product_over_rows(const at::Tensor& y_TO, const at::Tensor& x_TI);

/// y [T, O] += scale * p q^T with p [T, R], q [O, R].
void add_product(at::Tensor& y_TO, const at::Tensor& p_TR, const at::Tensor& q_OR, double scale);

}  // namespace llava
