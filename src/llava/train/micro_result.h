// SPDX-License-Identifier: Apache-2.0
//
// What is left of a micro-batch after its backward pass, and how ranks tell each other.
#pragma once

#include <cstdint>
#include <vector>

#include "llava/train/rank_group.h"

namespace llava::train {

struct MicroResult {
  int64_t round = 0;     ///< of the run
  double mean_loss = 0;  ///< over labels; nan without any
  double num_tokens = 0;
  double num_labels = 0;
  double ignored_samples = 0;
  double flos = 0;
  std::vector<int64_t> samples;  ///< their indices in the data
};

/// The results of all ranks, each of which gives its own: by round, those of a round by rank.
///
/// Throws: what RankGroup::gather throws.
std::vector<MicroResult> gather_results(RankGroup& group, const std::vector<MicroResult>& own);

}  // namespace llava::train
