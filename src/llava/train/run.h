// SPDX-License-Identifier: Apache-2.0
//
// A whole training run: from a configuration to the folder of the trained model.
#pragma once

#include <cstdint>
#include <functional>

#include "llava/tensor/backend.h"
#include "llava/train/train_config.h"

namespace llava::train {

/// What a run is given besides its configuration.
struct RunOptions {
  /// Asked after every step; where it says so the run ends with a checkpoint.
  std::function<bool()> stop_requested;
  /// One process whatever the environment says.
  bool is_alone = false;
  /// Threads that one process would have to itself, where --num-processes 0 lets it choose.
  int32_t num_threads_alone = 1;
};

/// How a run ended.
enum class RunEnd : uint8_t {
  kFinished,
  kStopped,  ///< as `stop_requested` said
  /// With --num-processes 0: it has not begun, since one process with all threads is faster.
  kBetterAlone,
};

/// Trains as `config` says, with the other processes that the environment speaks of
/// (rank_group.h), resuming where the output folder has a checkpoint; rank 0 writes the result.
/// `ctx` has a LibTorch backend.
///
/// Throws: Error of every kind a wrong flag, file or sample deserves, on all ranks; checkpoints
/// written before stay.
RunEnd run_training(Context& ctx, const TrainConfig& config, const RunOptions& options);

}  // namespace llava::train
