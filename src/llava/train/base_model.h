// SPDX-License-Identifier: Apache-2.0
//
// What a run starts from: language model, vision tower and projector, loaded into one LlavaModel.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "llava/checkpoint/config_json.h"
#include "llava/checkpoint/load_model.h"
#include "llava/data/training_inputs.h"
#include "llava/model/llava_model.h"
#include "llava/tensor/backend.h"
#include "llava/train/train_config.h"

namespace llava::train {

/// Where the parts of a run's base lie and what they are; nothing is loaded.
struct BasePlace {
  /// Language model or LLaVA checkpoint: a folder, or a GGUF file.
  std::filesystem::path folder;
  std::filesystem::path tower_folder;  ///< empty without a vision tower
  nlohmann::json config;               ///< the run's config.json (run_config.h)
  checkpoint::CheckpointDescription description;

  bool is_multimodal() const { return description.config.has_vision; }
  bool is_gguf() const { return std::filesystem::is_regular_file(folder); }
  /// The GGUF file whose vocabulary is the base's; nothing where its folder has a tokenizer.
  std::optional<std::filesystem::path> gguf_vocabulary() const;
};

/// Finds the base that `config` names, and its tower.
///
/// Throws: Error(kNotFound) naming flag and path; what reading the configurations throws.
BasePlace locate_base(const TrainConfig& config);

/// The tokenizer of the base, with the tokens that training adds.
///
/// Throws: what data::open_training_tokenizer and reading a GGUF file's vocabulary throw.
data::TrainingTokenizer open_base_tokenizer(const BasePlace& place, const TrainConfig& config);

/// The weights of a language model, folder or GGUF file, under the original's names; blocks of
/// quantised numbers as float32.
///
/// Throws: what open_weights and gguf_language_model throw.
std::shared_ptr<const checkpoint::TensorSource> open_base_weights(
    const std::filesystem::path& base);

/// Types that the parts compute in.
struct ComputeTypes {
  DType model = DType::kFloat32;
  DType vision_tower = DType::kFloat32;
};
ComputeTypes compute_types(const TrainConfig& config);

/// Where all tensors of a base come from, opened but not read. What a projector lacks of weights is
/// drawn as the published software initialises it, from the run's seed. Tables have rows for the
/// tokens that training adds; place.config and the description then say so.
///
/// Throws: what opening throws; Error(kBadFormat) for a --pretrain-mm-mlp-adapter that is none.
checkpoint::ModelWeights open_base(BasePlace& place, const TrainConfig& config,
                                   const data::TrainingTokenizer& tokenizer);

/// How a base is held.
checkpoint::LoadModelOptions load_options(const TrainConfig& config);

/// Loads what open_base has opened.
///
/// Throws: what load_model throws.
std::unique_ptr<model::LlavaModel> load_base(Context& ctx, const BasePlace& place,
                                             const checkpoint::ModelWeights& weights,
                                             const TrainConfig& config,
                                             const ProgressCallback& on_progress);

}  // namespace llava::train
