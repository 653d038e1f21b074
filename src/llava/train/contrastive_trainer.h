// SPDX-License-Identifier: Apache-2.0
//
// The loop of a contrastive stage: batches, steps, reports, evaluations, checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include "llava/data/epoch_order.h"
#include "llava/train/contrastive_batches.h"
#include "llava/train/contrastive_model.h"
#include "llava/train/gradients.h"
#include "llava/train/lr_schedule.h"
#include "llava/train/run_reporter.h"
#include "llava/train/run_state.h"

namespace llava::train {

/// Pictures, and the mean embeddings of their distinct captions [M, E].
struct CaptionSet {
  const data::CaptionedPictures& pictures;
  const at::Tensor& means_ME;
};

/// What the loop works with; everything outlives it.
struct ContrastiveParts {
  Context& ctx;  ///< backend: LibTorch, recording
  const TrainConfig& config;
  ContrastiveModel& model;
  Trainables& trainables;
  CaptionSet training;
  std::optional<CaptionSet> held_out;
  RunReporter& reporter;
  std::function<void(const std::filesystem::path& folder)> write_files;
};

/// Steps of a run over so many pairs.
StepPlan contrastive_plan(const TrainConfig& config, int64_t num_samples);

/// Threads: one thread.
class ContrastiveTrainer {
 public:
  explicit ContrastiveTrainer(const ContrastiveParts& parts);

  /// Goes back to where a checkpoint was made. Throws: what load_checkpoint throws.
  void resume(const std::filesystem::path& checkpoint);
  /// Trains to the end, or until `stop_requested` says so after a step; then a checkpoint is
  /// written and false returned.
  ///
  /// Throws: Error(kInvalidArgument) naming the samples when a loss or gradient is no number.
  bool run(const std::function<bool()>& stop_requested = {});

  const Progress& progress() const { return progress_; }
  int64_t num_epochs() const;
  double mean_loss() const { return losses_.total_mean(progress_.global_step); }

 private:
  // How the held-out pictures are told apart.
  struct Score {
    double loss = 0;      // cross-entropy over all distinct captions
    double accuracy = 0;  // share of pictures whose own caption is the nearest
  };

  bool run_epoch(const std::function<bool()>& stop_requested);
  void step(const std::vector<int64_t>& samples);
  void after_step();
  void report();
  void evaluate();
  void checkpoint();
  bool is_over() const;
  Score score(const CaptionSet& set) const;
  std::vector<double> rates_at(int64_t step) const;

  ContrastiveParts parts_;
  StepPlan plan_;
  data::EpochOrder order_;
  RankGroup group_;  // alone
  DataShape shape_;
  ParameterShards shards_;
  std::vector<ParameterGroup> groups_;
  Gradients gradients_;
  AdamW optimizer_;
  LrSchedule schedule_;
  LossMeter losses_;
  LossScale scale_{false};
  Progress progress_;
  RunState state_;
  StepCounts counts_;
};

}  // namespace llava::train
