// SPDX-License-Identifier: Apache-2.0
//
// The end of a run: the published closing entry, and the files beside what was trained.
#pragma once

#include <cstdint>

#include "llava/train/run_reporter.h"
#include "llava/train/run_state.h"

namespace llava::train {

/// A run that has ended.
struct FinishedRun {
  const TrainConfig& config;
  Progress progress;
  int64_t num_steps = 0;
  int64_t num_epochs = 0;
  double mean_loss = 0;
  double seconds = 0;
  int64_t num_samples = 0;  ///< of an epoch
  int64_t samples_per_step = 0;
};

/// Reports the summary and writes trainer_state.json and training_args.json.
///
/// Throws: Error(kResourceExhausted) when the disk refuses.
void finish_run(FinishedRun run, RunReporter& reporter);

}  // namespace llava::train
