// SPDX-License-Identifier: Apache-2.0
//
// A checkpoint of a run: the model's files, and what going on bit for bit needs besides.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "llava/train/adamw.h"
#include "llava/train/loss_scale.h"
#include "llava/train/model_files.h"
#include "llava/train/train_log.h"

namespace llava::train {

/// Where a run is.
struct Progress {
  int64_t global_step = 0;
  int64_t micro_step = 0;   ///< micro-batches of this rank so far
  int64_t epoch = 0;        ///< the one that the next micro-batch belongs to
  int64_t epoch_batch = 0;  ///< micro-batches of it that are done
  double epochs_done = 0;   ///< the published `epoch`: a fraction
  double total_flos = 0;
  nlohmann::json log_history = nlohmann::json::array();
  std::optional<double> best_metric;  ///< least held-out loss
  int64_t best_step = 0;              ///< its step
  std::string best_checkpoint;
  int64_t evaluations_since_best = 0;
  int64_t skipped_steps = 0;  ///< without an update, which the schedule does not count
};

/// What a checkpoint is made of.
struct RunState {
  Progress& progress;
  LossMeter& losses;
  LossScale& scale;
  AdamW& optimizer;
  Trainables& trainables;
};

/// The published trainer_state.json of a run.
nlohmann::json trainer_state(const TrainConfig& config, const Progress& progress, int64_t num_steps,
                             int64_t num_epochs);

/// What a checkpoint is of.
struct CheckpointOwner {
  const TrainConfig& config;
  Backend& backend;
  /// Writes what was trained so far into a folder.
  std::function<void(const std::filesystem::path& folder)> write_files;
};

/// Writes `output_dir/checkpoint-<step>`, complete or not at all: it is made beside and renamed.
/// Then deletes the oldest ones beyond --save-total-limit, never the best one.
///
/// Throws: Error(kResourceExhausted) when the disk refuses; earlier checkpoints are left whole.
void save_checkpoint(const CheckpointOwner& owner, RunState& state, int64_t num_steps,
                     int64_t num_epochs);
/// The same of a LLaVA.
void save_checkpoint(const ModelToSave& model, RunState& state, int64_t num_steps,
                     int64_t num_epochs);

/// The checkpoint to resume from: the one that is named, else the newest of the output folder;
/// nothing where there is none.
///
/// Throws: Error(kNotFound) for a named one that is none; Error(kInvalidArgument) for one that
/// resuming would go wrong from: made by the original or with --save-only-model.
std::optional<std::filesystem::path> find_checkpoint(const TrainConfig& config);

/// N of a folder "checkpoint-N"; 0 for another name.
int64_t step_of_checkpoint(const std::filesystem::path& folder);

/// Brings a run back to where the checkpoint was made.
///
/// Throws: Error(kInvalidArgument) listing the differences when it was made with another
/// configuration; Error(kBadFormat) for damaged files.
void load_checkpoint(const std::filesystem::path& folder, const TrainConfig& config,
                     RunState& state);

/// The weights alone of a checkpoint. Throws: as load_checkpoint.
void load_weights(const std::filesystem::path& folder, Trainables& trainables);

/// The configuration as a flat JSON object by the names of the flags.
nlohmann::json to_json(const TrainConfig& config);

}  // namespace llava::train
