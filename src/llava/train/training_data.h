// SPDX-License-Identifier: Apache-2.0
//
// The samples of a run as a stream of micro-batches.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "llava/data/sample.h"

namespace llava::train {

using SamplePtr = std::shared_ptr<const data::Sample>;

/// Where in an epoch to begin.
struct EpochPlace {
  int64_t first_sample = 0;  ///< rounds are counted from this one of the epoch's order on
  int64_t num_skipped = 0;   ///< of these rounds
  int64_t round_of_run = 0;  ///< rounds of the run before the first one that is not skipped
};

/// What the trainer asks of its data. They come in rounds, in each of which every rank has a
/// micro-batch or, where the ranks share the work of one, a single rank has.
class TrainingData {
 public:
  virtual ~TrainingData() = default;

  /// Rounds of an epoch from this sample of its order on; the same for all ranks.
  virtual int64_t rounds_from(int64_t first_sample) const = 0;
  int64_t rounds_per_epoch() const { return rounds_from(0); }
  /// Leaves out the next epoch. Epochs follow each other from 0 on.
  virtual void skip_epoch() = 0;
  virtual void start_epoch(const EpochPlace& place) = 0;
  /// This rank's micro-batch of the next round; empty where the round is another rank's, and behind
  /// the last one.
  ///
  /// Throws: Error naming sample, path and reason for one that cannot be made.
  virtual std::vector<SamplePtr> next_batch() = 0;
};

}  // namespace llava::train
