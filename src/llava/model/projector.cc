// SPDX-License-Identifier: Apache-2.0
#include "llava/model/projector.h"

namespace llava::model {

Projector::Projector(const ProjectorConfig& c, int64_t vision_width, int64_t model_width)
    : config(c) {
  if (c.type == ProjectorType::kIdentity) return;
  const int32_t depth = c.type == ProjectorType::kLinear ? 1 : c.mlp_depth;
  for (int32_t i = 0; i < depth; ++i) {
    linears.emplace_back(i == 0 ? vision_width : model_width, model_width, c.has_bias);
  }
}

DType Projector::dtype(DType fallback) const {
  if (linears.empty()) return fallback;
  const DType stored = linears.front().weight.value.dtype();
  return is_packed(stored) ? fallback : stored;
}

Tensor Projector::forward(Context& ctx, Tensor features) const {
  for (std::size_t i = 0; i < linears.size(); ++i) {
    if (i > 0) features = ops::activation(ctx, features, config.activation);
    features = linears[i].forward(ctx, features);
  }
  return features;
}

}  // namespace llava::model
