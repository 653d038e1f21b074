// SPDX-License-Identifier: Apache-2.0
//
// Starts the processes of a training run on this machine and ends them together.
#pragma once

#include <cstdint>

#include "command.h"

namespace llava::app {

/// Whether a launcher (torchrun, DeepSpeed's, or this one) has started this process as a rank.
bool is_rank();
/// Whether it is the first of them.
bool is_first_rank();

/// Starts this program `num_ranks` times with `arguments` (the subcommand first), as ranks of one
/// run: with RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT in their
/// environment. Waits for all. When one fails the others are ended within seconds; Ctrl-C and
/// SIGTERM are passed on once each time. When this process is killed, the ranks are.
///
/// Returns the exit status: 0, that of the rank that failed, or 130 after Ctrl-C.
/// Throws: Error(kUnavailable) when a rank cannot be started or is killed by a signal.
/// Threads: one thread at a time, and no other thread that handles signals.
int run_ranks(int32_t num_ranks, const Arguments& arguments);

}  // namespace llava::app
