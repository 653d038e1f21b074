// SPDX-License-Identifier: Apache-2.0
//
// The training loop: micro-batches, steps, reports, evaluations, checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "llava/train/deepspeed_config.h"
#include "llava/train/forward_pass.h"
#include "llava/train/gradients.h"
#include "llava/train/learning_rates.h"
#include "llava/train/lr_schedule.h"
#include "llava/train/micro_result.h"
#include "llava/train/run_reporter.h"
#include "llava/train/run_state.h"
#include "llava/train/sample_answers.h"
#include "llava/train/training_data.h"

namespace llava::train {

/// What a training run works with; everything outlives the trainer.
struct TrainerParts {
  Context& ctx;  ///< backend: LibTorch, recording
  const TrainConfig& config;
  const DeepSpeedConfig& deepspeed;
  const BasePlace& place;
  model::LlavaModel& model;
  Trainables& trainables;
  TrainingData& data;
  TrainingData* evaluation = nullptr;      ///< held-out data; null: none
  const SampleAnswers* answers = nullptr;  ///< questions of it; null: none, or another rank's
  RunReporter* reporter = nullptr;         ///< rank 0 has one
  RankGroup& group;
  /// Micro-batches of a round of the data: one for each rank, or one where they take turns.
  int32_t batches_per_round = 1;
  /// Steps of the run; a resumed one may have others than its flags alone say.
  StepPlan plan;
  /// What a checkpoint says of how the data are cut.
  DataShape shape;
  const std::string& base_sha256;  ///< ModelToSave::base_sha256
  FeatureCache* features = nullptr;
};

/// With several ranks each has a trainer, and all do the same: every decision is made from what
/// they have told each other. Rank 0 alone reports and writes.
///
/// Threads: one thread.
/// Source: transformers 4.37 `trainer.py`; docs/training.md.
class Trainer {
 public:
  explicit Trainer(const TrainerParts& parts);

  /// Goes back to where a checkpoint was made. Throws: what load_checkpoint throws.
  void resume(const std::filesystem::path& checkpoint);
  /// Trains to the end, or until `stop_requested` says so after a step; then a checkpoint is
  /// written and false returned.
  ///
  /// Throws: Error(kInvalidArgument) naming the samples when a loss or gradient is no number.
  bool run(const std::function<bool()>& stop_requested = {});

  const Progress& progress() const { return progress_; }
  const StepPlan& plan() const { return plan_; }
  int64_t samples_per_step() const { return parts_.shape.batches.samples_per_step(); }
  int64_t num_epochs() const { return num_epochs_; }
  /// Checkpoints that the rest of the run will write.
  int64_t num_checkpoints_to_come() const;
  /// The published `train_loss`: mean over all steps.
  double mean_loss() const { return losses_.total_mean(progress_.global_step); }

 private:
  // A micro-batch on its way to a step.
  struct MicroBatch {
    std::vector<SamplePtr> samples;
    data::FlatBatch flat;
    int64_t round = 0;   ///< of the run
    int64_t number = 0;  ///< micro-batches of the run before, of all ranks
  };

  bool run_epoch(const std::function<bool()>& stop_requested);
  // Computes again what an epoch left to a step of the next one, when a checkpoint stands between.
  void redo_unfinished_step();
  MicroBatch take(const std::vector<SamplePtr>& samples) const;
  MicroResult result_of(const MicroBatch& batch, double mean_loss) const;
  // Brings this rank's results to all of them, which count them in the order of the data.
  void exchange_results(double tokens_of_step);
  std::vector<MicroResult> take_results();
  void count(const std::vector<MicroResult>& results, double tokens_of_step);
  void count_for_report(const MicroResult& result);
  double sum_tokens_of_step();
  void run_micro_batch(const MicroBatch& batch, double tokens_of_step);
  // Makes the next round's micro-batch, and its gradients unless that has to wait for the step.
  void take_round();
  bool is_step_due(int64_t rounds) const;
  void finish_step();
  void after_step();
  void report();
  void evaluate();
  void answer_questions();
  void checkpoint();
  void load_best();
  bool is_over() const;
  std::vector<double> rates_at(int64_t step) const;
  [[noreturn]] void stop_on_nonfinite(const char* what) const;
  bool checks_finite() const;
  double flos_of(const MicroBatch& batch) const;

  TrainerParts parts_;
  StepPlan plan_;
  int64_t num_epochs_;
  ParameterShards shards_;
  LearningRates rates_;
  Gradients gradients_;
  AdamW optimizer_;
  LossMeter losses_;
  LossScale scale_;
  Progress progress_;
  RunState state_;
  PassOptions pass_options_;
  bool reduces_by_token_;
  int64_t logging_steps_;
  int64_t save_steps_;
  int64_t eval_steps_;
  // Of the step in progress.
  std::vector<MicroBatch> pending_;
  std::vector<MicroResult> results_;       // of this rank, not yet exchanged
  std::vector<MicroResult> step_results_;  // of all ranks
  int32_t num_skipped_in_a_row_ = 0;
  StepCounts counts_;
  double parameters_without_embeddings_ = 0;
  int64_t answered_step_ = -1;
};

}  // namespace llava::train
