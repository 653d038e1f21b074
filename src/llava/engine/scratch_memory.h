// SPDX-License-Identifier: Apache-2.0
//
// How much memory a step of the engine takes beside weights and caches: activations, logits and
// what a picture is while it is encoded.
#pragma once

#include <cstdint>

#include "llava/engine/engine.h"
#include "llava/image/layout.h"
#include "llava/model/llava_model.h"

namespace llava::engine {

/// What one step computes at most.
struct StepSize {
  int64_t num_tokens = 0;
  int64_t num_logits = 0;  ///< positions whose logits are wanted
};

/// The largest step of an engine whose cache holds `capacity_tokens`, for requests of
/// `request_tokens` (prompt and answer) each: a chunk of a prompt beside the newest tokens, with
/// their drafts, of as many sequences as fit.
///
/// Scoring given answers is not in it: each scored token of a step adds a row of logits.
StepSize largest_step(const EngineConfig& config, int64_t capacity_tokens, int64_t request_tokens);

/// Most bytes that results of the native backend take in a step, without weights and caches. The
/// kernels' own buffers, half a megabyte a thread, are not in it.
int64_t step_scratch_bytes(const model::LlavaModel& model, const StepSize& step);
/// What a step takes besides when a sequence of `num_tokens` says where it looked: the keys and
/// scores of a head, and the maps. Others that look in the same step add their maps alone.
int64_t look_scratch_bytes(const model::LlavaModel& model, int64_t num_tokens);
/// The same while a picture of `num_tiles` views is encoded; 0 without a vision tower.
int64_t encode_scratch_bytes(const model::LlavaModel& model, int64_t num_tiles);

/// Views of the largest picture.
int64_t most_tiles(const image::ImageGeometry& geometry);

}  // namespace llava::engine
