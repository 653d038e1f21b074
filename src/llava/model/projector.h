// SPDX-License-Identifier: Apache-2.0
//
// The projector: maps vision features into the decoder's embedding space (arXiv:2304.08485: one
// linear layer; arXiv:2310.03744: an MLP).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llava/model/config.h"
#include "llava/model/linear.h"

namespace llava::model {

/// Identity, one linear layer, or linear layers with the activation between them.
struct Projector {
  ProjectorConfig config;
  std::vector<Linear> linears;

  Projector(const ProjectorConfig& c, int64_t vision_width, int64_t model_width);

  /// Names as published: "weight" for `linear`; "0", "2", ... for the MLP, whose odd members are
  /// the parameter-free activations.
  void describe(Walker& v) {
    if (config.type == ProjectorType::kLinear) {
      linears[0].describe(v);
    } else {
      for (std::size_t i = 0; i < linears.size(); ++i) v(std::to_string(2 * i), linears[i]);
    }
  }

  /// The dtype to compute in: that of the weights, or `fallback` when they are packed or there are
  /// none.
  DType dtype(DType fallback) const;

  /// Shapes: features [..., vision width] -> [..., model width].   Threads: const, safe to share.
  Tensor forward(Context& ctx, Tensor features) const;
};

}  // namespace llava::model
