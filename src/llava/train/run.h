// SPDX-License-Identifier: Apache-2.0
//
// A whole training run: from a configuration to the folder of the trained model.
#pragma once

#include <functional>

#include "llava/tensor/backend.h"
#include "llava/train/train_config.h"

namespace llava::train {

/// Trains as `config` says, resuming where the output folder has a checkpoint, and writes the
/// result. `ctx` has a LibTorch backend. False when `stop_requested` ended it, with a checkpoint
/// written.
///
/// Throws: Error of every kind a wrong flag, file or sample deserves; checkpoints written before
/// stay.
bool run_training(Context& ctx, const TrainConfig& config,
                  const std::function<bool()>& stop_requested);

}  // namespace llava::train
