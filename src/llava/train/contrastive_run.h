// SPDX-License-Identifier: Apache-2.0
//
// `llava train --stage contrastive`: a vision tower from pictures and captions alone.
#pragma once

#include <functional>

#include "llava/tensor/backend.h"
#include "llava/train/train_config.h"

namespace llava::train {

/// Trains the tower of --vision-tower against the captions of --data-path, resuming where the
/// output folder has a checkpoint, and writes a folder that --vision-tower takes.
///
/// Returns false when `stop_requested` ended it; a checkpoint is then there.
/// Throws: Error of the cause's code, before anything expensive where that is possible.
bool run_contrastive(Context& ctx, const TrainConfig& config,
                     const std::function<bool()>& stop_requested);

}  // namespace llava::train
