// SPDX-License-Identifier: Apache-2.0
//
// From a micro-batch to its loss.
#pragma once

#include <ATen/core/Tensor.h>

#include "llava/data/flat_batch.h"
#include "llava/model/llava_model.h"
#include "llava/train/feature_cache.h"

namespace llava::train {

/// How a forward pass is run.
struct PassOptions {
  bool recomputes_layers = false;  ///< --gradient_checkpointing
  bool trains_vision_tower = false;
  /// Features of the frozen tower; null: it runs every time.
  FeatureCache* features = nullptr;
};

/// Sum of the cross-entropies of the batch's trained tokens, recorded when gradients are; undefined
/// when it has none.
///
/// The backend is LibTorch's and records gradients; the caller's grad mode decides. The model,
/// the batch and `ctx` outlive the backward pass.
at::Tensor summed_loss(Context& ctx, const model::LlavaModel& model, const data::FlatBatch& batch,
                       const PassOptions& options);

}  // namespace llava::train
