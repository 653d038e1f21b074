// SPDX-License-Identifier: Apache-2.0
//
// What must hold before anything is timed: a fast wrong result is no result.
#pragma once

#include <string>
#include <vector>

#include "llava/engine/bench/workload.h"

namespace llava::engine {

struct BenchCheck {
  std::string name;
  /// Largest difference of two logits that should be equal, over the largest logit.
  double difference = 0;
};

/// Compares, on random tokens: the logits after a cached step with those of the whole prompt at
/// once; each sequence of a batch with the same sequence alone; a prompt in two parts with the
/// prompt in one. All logits must be finite and not all the same.
///
/// On the native backend they must be equal bit for bit (tensor/ops.h, "Determinism"); elsewhere
/// within what the model's float type can tell apart.
/// Throws: Error(kInternal) naming the first comparison that fails and by how much.
std::vector<BenchCheck> check_workload(Workload& workload, bool is_exact);

}  // namespace llava::engine
