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

std::vector<LowRankTerm> terms_of(Context& ctx, const Linear& linear, const Tensor& x) {
  std::vector<LowRankTerm> terms;
  for (const LoraAdapter& adapter : linear.adapters) {
    terms.push_back({.x = adapter.on_input ? adapter.on_input(ctx, x) : x,
                     .a_RI = adapter.a_RI,
                     .b_OR = adapter.b_OR,
                     .scale = adapter.scale});
  }
  return terms;
}

}  // namespace

Tensor Linear::forward(Context& ctx, const Tensor& x) const {
  return forward_all(ctx, x, *this)[0];
}

void forward_all(Context& ctx, const Tensor& x,
                 std::span<const std::reference_wrapper<const Linear>> layers,
                 std::span<Tensor> results) {
  std::vector<std::vector<LowRankTerm>> terms;
  std::vector<LinearWeights> weights;
  terms.reserve(layers.size());
  weights.reserve(layers.size());
  for (const Linear& layer : layers) {
    terms.push_back(terms_of(ctx, layer, x));
    weights.push_back(
        {layer.weight.value, layer.has_bias ? layer.bias.value : kNoBias, terms.back()});
  }
  ops::linear_all(ctx, x, weights, results);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].get().on_output) results[i] = layers[i].get().on_output(ctx, results[i]);
  }
}

}  // namespace llava::model
