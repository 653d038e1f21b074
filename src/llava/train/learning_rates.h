// SPDX-License-Identifier: Apache-2.0
//
// Which parameters have which learning rate at which step.
#pragma once

#include <cstdint>
#include <vector>

#include "llava/train/deepspeed_config.h"
#include "llava/train/lr_schedule.h"
#include "llava/train/parameter_shards.h"
#include "llava/train/train_config.h"
#include "llava/train/trained_parameter.h"

namespace llava::train {

/// The parameter groups of stages 1 and 2, and the rate of each as the schedule goes on.
///
/// Source: transformers 4.37 `trainer.py`, the original's `llava_trainer.py`; docs/training.md.
class LearningRates {
 public:
  /// Throws: what LrSchedule throws.
  LearningRates(const TrainConfig& config, const DeepSpeedConfig& deepspeed,
                const std::vector<TrainedParameter>& parameters, const StepPlan& plan);

  /// The same groups, of the parts of the parameters that this rank owns.
  std::vector<ParameterGroup> groups_of_owned(ParameterShards& shards) const;
  /// The rate of each group when `step` steps are done, `skipped_steps` of which changed nothing:
  /// the schedule does not go on with them.
  std::vector<double> at(int64_t step, int64_t skipped_steps) const;

 private:
  std::vector<ParameterGroup> groups_;
  LrSchedule schedule_;
  bool misassigns_;  ///< as DeepSpeed does
};

}  // namespace llava::train
