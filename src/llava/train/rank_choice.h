// SPDX-License-Identifier: Apache-2.0
//
// Whether several processes with few threads each make a step sooner than one with all of them.
#pragma once

#include "llava/train/forward_pass.h"
#include "llava/train/rank_group.h"
#include "llava/train/trained_parameter.h"

namespace llava::train {

/// Seconds of a step, by a short measurement; the same numbers on all ranks.
struct StepTimes {
  double together = 0;  ///< the ranks take turns at its micro-batches, then exchange gradients
  double alone = 0;     ///< rank 0 makes all of them with all threads

  bool are_faster_together() const { return together < alone; }
};

/// What is measured; everything outlives the call.
struct StepSample {
  Context& ctx;
  const model::LlavaModel& model;
  std::vector<TrainedParameter>& parameters;
  const data::FlatBatch& batch;  ///< a micro-batch, of each rank its own
  const PassOptions& options;
  int32_t accumulation = 1;       ///< micro-batches of a step
  int32_t num_threads_alone = 1;  ///< LibTorch's threads when rank 0 has the machine to itself
};

/// Runs the micro-batch forward and backward a few times, on all ranks at once and then on rank 0
/// alone, and exchanges some numbers. Values stay as they are, gradients are cleared. All ranks
/// call it.
StepTimes measure_step(const StepSample& sample, RankGroup& group);

}  // namespace llava::train
