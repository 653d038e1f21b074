// SPDX-License-Identifier: Apache-2.0
//
// From a micro-batch to its loss.
#pragma once

#include <ATen/core/Tensor.h>

#include "llava/data/flat_batch.h"
#include "llava/model/llava_model.h"
#include "llava/train/feature_cache.h"
#include "llava/train/trainables.h"

namespace llava::train {

/// How a forward pass is run.
struct PassOptions {
  bool recomputes_layers = false;  ///< --gradient_checkpointing
  bool trains_vision_tower = false;
  /// Features of the frozen tower; null: it runs every time.
  FeatureCache* features = nullptr;
};

/// Passes as a run has them; `features` may be null.
PassOptions pass_options(const TrainConfig& config, const Trainables& trainables,
                         FeatureCache* features);

/// What the batch's tokens and pictures are to the decoder: [T, D].
Tensor embed_batch(Context& ctx, const model::LlavaModel& model, const data::FlatBatch& batch,
                   const PassOptions& options);

/// Sum of the cross-entropies of the batch's trained tokens, recorded when gradients are; undefined
/// when it has none.
///
/// The backend is LibTorch's and records gradients; the caller's grad mode decides. The model,
/// the batch and `ctx` outlive the backward pass.
at::Tensor summed_loss(Context& ctx, const model::LlavaModel& model, const data::FlatBatch& batch,
                       const PassOptions& options);
/// The same from what embed_batch has made of the batch.
at::Tensor summed_loss(Context& ctx, const model::LlavaModel& model, const data::FlatBatch& batch,
                       Tensor x_TD, const PassOptions& options);

}  // namespace llava::train
