// SPDX-License-Identifier: Apache-2.0
//
// The weight files of a checkpoint, opened and named but not loaded.
#pragma once

#include <filesystem>
#include <optional>

#include "llava/checkpoint/generation_config.h"
#include "llava/checkpoint/load_model.h"
#include "llava/engine/checkpoint_place.h"
#include "llava/engine/pretrained.h"

namespace llava::engine {

/// Compute types of the parts of a packed store; a matrix of it may be held packed.
struct StoreTypes {
  DType language = DType::kFloat32;
  DType vision = DType::kFloat32;
  DType projector = DType::kFloat32;
};

struct CheckpointWeights {
  checkpoint::ModelWeights model;
  /// The tower's weights come from its own folder.
  bool is_tower_separate = false;
  /// Where the weights are a packed store: the compute types it was made for.
  std::optional<StoreTypes> store_types;
};

/// Opens all sources of a checkpoint in their order of precedence. `place.description` learns from
/// them whether the head is tied. `num_tokens` is the tokenizer's size. A GGUF language model gives
/// its matrices packed unless the request names a compute type; `pool` (or null) repacks them and
/// outlives the sources.
///
/// Throws: what the readers throw.
CheckpointWeights open_checkpoint_weights(CheckpointPlace& place, const LoadRequest& request,
                                          const std::filesystem::path& tower_folder,
                                          int32_t num_tokens, ThreadPool* pool);

/// How the request wants the weights held. "auto" compute types are settled: the language model's
/// is the checkpoint's own, float32 where its weights are quantised; the tower's is float32 when it
/// comes from its own folder, as the original runs it, else the checkpoint's own.
checkpoint::LoadModelOptions load_options(const LoadRequest& request,
                                          const CheckpointWeights& weights);

/// The decoding defaults beside the weights: the base's for adapters and projectors, as the
/// published loader reads them.
///
/// Throws: Error(kBadFormat) naming the file.
checkpoint::GenerationDefaults read_decoding_defaults(const CheckpointPlace& place);

/// LoRA directories and projector-only ones.
bool needs_base(checkpoint::Layout layout);

}  // namespace llava::engine
