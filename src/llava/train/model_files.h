// SPDX-License-Identifier: Apache-2.0
//
// What a run writes of its model: the original's file names and layouts, complete in every mode.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "llava/model/llava_model.h"
#include "llava/train/base_model.h"
#include "llava/train/trainables.h"

namespace llava::train {

/// What the files hold.
enum class SaveMode : uint8_t {
  kProjector,  ///< --tune_mm_mlp_adapter: mm_projector.bin
  kLora,       ///< --lora_enable: the adapter's files and non_lora_trainables.bin
  kFull,       ///< the whole model
};
SaveMode save_mode(const TrainConfig& config);

/// A model to write; everything outlives the call.
struct ModelToSave {
  const TrainConfig& config;
  const BasePlace& place;
  model::LlavaModel& model;
  const Trainables& trainables;
  Backend& backend;
  /// base_weights_sha256 of the base (checkpoint/weights_hash.h); empty without adapters.
  const std::string& base_sha256;
};

/// Writes the model's files into `folder`, which exists. With `is_final` as the end of the
/// original's run does, else as its checkpoints do, but complete: with everything that loading
/// needs.
///
/// Weights go first, so that no trouble with what is beside them can lose them.
/// Throws: Error(kResourceExhausted) when the disk refuses.
void write_model_files(const std::filesystem::path& folder, const ModelToSave& run, bool is_final);

}  // namespace llava::train
