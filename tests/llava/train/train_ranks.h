// SPDX-License-Identifier: Apache-2.0
//
// Ranks of a group as threads of one process, for tests.
#pragma once

#include <functional>

#include "llava/train/rank_group.h"

namespace llava::train {

/// Calls `work` on `size` threads, each with its rank's group, and waits for all. What a rank
/// throws is a failure of the test.
void run_as_ranks(int32_t size, const std::function<void(RankGroup&)>& work);

}  // namespace llava::train
