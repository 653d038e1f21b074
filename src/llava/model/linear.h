// SPDX-License-Identifier: Apache-2.0
//
// Linear: the one place where weight formats and LoRA adapters enter the model.
#pragma once

#include <vector>

#include "llava/model/parameter.h"
#include "llava/tensor/ops.h"

namespace llava::model {

/// A low-rank update s * B(A x) beside a base weight (arXiv:2106.09685, section 4.1).
struct LoraAdapter {
  Tensor a_RI;
  Tensor b_OR;
  float scale = 1.0f;
};

/// y = W x + b, plus the adapters' contributions. weight [O, I], bias [O].
struct Linear {
  Parameter weight;
  Parameter bias;
  bool has_bias;
  std::vector<LoraAdapter> adapters;

  Linear(int64_t in_features, int64_t out_features, bool with_bias = false)
      : weight(Shape{out_features, in_features}), bias(Shape{out_features}), has_bias(with_bias) {}

  int64_t in_features() const { return weight.shape[1]; }
  int64_t out_features() const { return weight.shape[0]; }

  void describe(Walker& v) {
    v("weight", weight);
    if (has_bias) v("bias", bias);
  }

  /// Shapes: x [..., I] -> [..., O].   Dtype: that of x, which a weight that is not packed has too.
  /// Threads: const, safe to share.
  Tensor forward(Context& ctx, const Tensor& x) const;
};

}  // namespace llava::model
