// SPDX-License-Identifier: Apache-2.0
//
// Linear: the one place where weight formats and LoRA adapters enter the model.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <vector>

#include "llava/model/parameter.h"
#include "llava/tensor/ops.h"

namespace llava::model {

/// A low-rank update s * B(A x) beside a base weight (arXiv:2106.09685, section 4.1).
struct LoraAdapter {
  Tensor a_RI;
  Tensor b_OR;
  float scale = 1.0f;
  /// What A sees instead of x: training drops inputs here. Empty otherwise.
  std::function<Tensor(Context& ctx, const Tensor& x)> on_input = {};
};

/// y = W x + b, plus the adapters' contributions. weight [O, I], bias [O].
struct Linear {
  Parameter weight;
  Parameter bias;
  bool has_bias;
  std::vector<LoraAdapter> adapters;
  /// What becomes of y before anybody sees it: ranks that share the inputs add their parts up
  /// (tensor_parallel.h). Empty otherwise.
  std::function<Tensor(Context& ctx, const Tensor& y)> on_output = {};

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

/// What each layer makes of the same x, which is read once for all of them.
/// Shapes, dtype, threads: as Linear::forward.
void forward_all(Context& ctx, const Tensor& x,
                 std::span<const std::reference_wrapper<const Linear>> layers,
                 std::span<Tensor> results);
template <class... Layers>
std::array<Tensor, sizeof...(Layers)> forward_all(Context& ctx, const Tensor& x,
                                                  const Layers&... layers) {
  const std::array<std::reference_wrapper<const Linear>, sizeof...(Layers)> list{layers...};
  std::array<Tensor, sizeof...(Layers)> results;
  forward_all(ctx, x, std::span<const std::reference_wrapper<const Linear>>(list),
              std::span<Tensor>(results));
  return results;
}

}  // namespace llava::model
