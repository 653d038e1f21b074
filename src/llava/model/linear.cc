// SPDX-License-Identifier: Apache-2.0
#include "llava/model/linear.h"

#include <utility>

namespace llava::model {

void Walker::operator()(std::string_view name, Linear& linear) {
  const Scope scope(*this, name);
  if (visitor_.on_linear) visitor_.on_linear(path_, linear);
  linear.describe(*this);
}

namespace {

const Tensor kNoBias;

LinearWeights weights_of(const Linear& linear) {
  return {linear.weight.value, linear.has_bias ? linear.bias.value : kNoBias};
}

// y with the adapters' contributions.
Tensor adapted(Context& ctx, const Linear& linear, const Tensor& x, Tensor y) {
  for (const LoraAdapter& adapter : linear.adapters) {
    const Tensor low_rank =
        ops::linear(ctx, adapter.on_input ? adapter.on_input(ctx, x) : x, adapter.a_RI, Tensor());
    y = ops::add_scaled(ctx, y, ops::linear(ctx, low_rank, adapter.b_OR, Tensor()), adapter.scale);
  }
  return y;
}

}  // namespace

Tensor Linear::forward(Context& ctx, const Tensor& x) const {
  const auto [weight_OI, bias_O] = weights_of(*this);
  return adapted(ctx, *this, x, ops::linear(ctx, x, weight_OI, bias_O));
}

void forward_all(Context& ctx, const Tensor& x,
                 std::span<const std::reference_wrapper<const Linear>> layers,
                 std::span<Tensor> results) {
  std::vector<LinearWeights> weights;
  weights.reserve(layers.size());
  for (const Linear& layer : layers) weights.push_back(weights_of(layer));
  ops::linear_all(ctx, x, weights, results);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    results[i] = adapted(ctx, layers[i], x, std::move(results[i]));
  }
}

}  // namespace llava::model
