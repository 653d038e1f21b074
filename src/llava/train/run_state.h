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
#include "llava/train/lr_schedule.h"
#include "llava/train/model_files.h"
#include "llava/train/parameter_shards.h"
#include "llava/train/train_log.h"

namespace llava::train {

/// How a run's steps are made of micro-batches.
struct BatchShape {
  int32_t batch_size = 1;         ///< of a micro-batch
  int32_t batches_per_round = 1;  ///< ranks, or 1 where they take turns
  int32_t accumulation = 1;       ///< rounds of a step

  int64_t samples_per_round() const { return int64_t{batch_size} * batches_per_round; }
  int64_t samples_per_step() const { return samples_per_round() * accumulation; }
  bool operator==(const BatchShape&) const = default;
};

/// How the data are cut, which a resumed run may change.
struct DataShape {
  int64_t num_samples = 0;
  int32_t num_processes = 1;
  BatchShape batches;
  /// What the order of the samples was made for: that of the run's beginning.
  BatchShape order;
};

/// Where a run is.
struct Progress {
  int64_t global_step = 0;
  int64_t micro_step = 0;    ///< rounds so far, since the batches were last changed
  int64_t num_batches = 0;   ///< micro-batches of all ranks so far
  int64_t epoch = 0;         ///< the one that the next round belongs to
  int64_t first_sample = 0;  ///< of its order, where its rounds are counted from
  int64_t epoch_batch = 0;   ///< rounds of it that are done
  double epochs_done = 0;    ///< the published `epoch`: a fraction
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
  ParameterShards& shards;
  RankGroup& group;
  const DataShape& shape;
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
/// Then deletes the oldest ones beyond --save-total-limit, never the best one. All ranks call it;
/// rank 0 writes.
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

/// What a run that goes on from a checkpoint has to know before it is set up.
struct SavedShape {
  int32_t num_processes = 1;
  BatchShape batches;
  BatchShape order;
  int64_t num_steps = 0;    ///< of the whole run
  int64_t global_step = 0;  ///< that are done
  int64_t epoch = 0;
  int64_t first_sample = 0;  ///< of the epoch that is not done
};

/// Throws: Error(kBadFormat) for damaged files.
SavedShape read_saved_shape(const std::filesystem::path& folder);

/// Steps of a run of `num_epochs` that goes on with these batches: as many as it had, where as many
/// samples make a step; else those that are done and those that the rest of the data make.
/// `rounds_left`: of the epoch that is not done.
int64_t resumed_num_steps(const SavedShape& saved, const DataShape& now, const StepPlan& plan,
                          int64_t rounds_left, double num_epochs);

/// Brings a run back to where the checkpoint was made. With other batches than it had then, the
/// rest of the epoch is cut anew.
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
