// SPDX-License-Identifier: Apache-2.0
//
// The two normalisations of the model family.
#pragma once

#include "llava/model/parameter.h"
#include "llava/tensor/ops.h"

namespace llava::model {

/// Root-mean-square normalisation (arXiv:1910.07467).
/// Shapes: x [..., D] -> the same.   Threads: const, safe to share.
struct RmsNorm {
  Parameter weight;
  float epsilon;

  RmsNorm(int64_t size, float eps) : weight(Shape{size}), epsilon(eps) {}

  void describe(Walker& v) { v("weight", weight); }

  Tensor forward(Context& ctx, const Tensor& x) const {
    return ops::rms_norm(ctx, x, weight.value, epsilon);
  }
};

/// Layer normalisation (arXiv:1607.06450).
/// Shapes: x [..., D] -> the same.   Threads: const, safe to share.
struct LayerNorm {
  Parameter weight, bias;
  float epsilon;

  LayerNorm(int64_t size, float eps, bool optional = false)
      : weight(Shape{size}, optional), bias(Shape{size}, optional), epsilon(eps) {}

  void describe(Walker& v) {
    v("weight", weight);
    v("bias", bias);
  }

  Tensor forward(Context& ctx, const Tensor& x) const {
    return ops::layer_norm(ctx, x, weight.value, bias.value, epsilon);
  }
};

}  // namespace llava::model
