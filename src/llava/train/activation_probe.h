// SPDX-License-Identifier: Apache-2.0
//
// What a micro-batch holds in memory between forward and backward pass, measured and not derived: a
// model of the run's widths but few layers takes one step on it while LibTorch's allocations are
// counted. Layers are alike, so the whole model's bytes follow. Whatever operations save for the
// backward pass is in the count, in every mode, without a formula to keep up with them.
#pragma once

#include <cstdint>

#include "llava/data/flat_batch.h"
#include "llava/model/config.h"
#include "llava/tensor/backend.h"
#include "llava/train/train_config.h"

namespace llava::train {

/// Bytes of one micro-batch on the backend's device, weights and gradients of trained parameters
/// not counted but for what is said.
struct ActivationBytes {
  int64_t held = 0;      ///< by the whole model when the forward pass has ended
  int64_t encoding = 0;  ///< most at once while pictures are encoded, before the decoder
  int64_t forward = 0;   ///< most at once in decoder, head and loss
  /// Most at once while the backward pass begins; gradients of the first layers it comes to, and of
  /// the head, are in it.
  int64_t backward = 0;
  /// More than the gradients themselves, at the end of the backward pass: in the table and the
  /// projector.
  int64_t backward_end = 0;
};

/// Runs the probe. The backend is LibTorch's and records gradients; no state of the run is touched.
///
/// Throws: what the forward pass throws.   Threads: one thread.
ActivationBytes measure_activations(Context& ctx, const TrainConfig& config,
                                    const model::LlavaConfig& shape, const data::FlatBatch& batch);

}  // namespace llava::train
