// SPDX-License-Identifier: Apache-2.0
//
// Room on the disk for what a run writes, asked for before it is needed.
#pragma once

#include <cstdint>

#include "llava/train/model_files.h"

namespace llava::train {

/// Bytes of one checkpoint, and of the result alone; small files are counted generously.
int64_t checkpoint_bytes(const ModelToSave& run);
int64_t result_bytes(const ModelToSave& run);

/// Asks for the room of one checkpoint, before it is written.
///
/// Throws: Error(kResourceExhausted) naming the bytes and what to do.
void require_checkpoint_space(const ModelToSave& run);

/// Asks for the room of all that a run will hold at once: the result and `num_checkpoints`
/// checkpoints, or, with --save-total-limit, one more than those, since the oldest leaves last.
///
/// Throws: as above.
void require_run_space(const ModelToSave& run, int64_t num_checkpoints);

}  // namespace llava::train
