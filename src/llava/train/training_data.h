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

/// What the trainer asks of its data.
class TrainingData {
 public:
  virtual ~TrainingData() = default;

  /// Micro-batches of this rank in an epoch.
  virtual int64_t batches_per_epoch() const = 0;
  /// Starts the next epoch, without its first `num_skipped` micro-batches. Epochs follow each other
  /// from 0 on.
  virtual void start_epoch(int64_t num_skipped) = 0;
  /// The next micro-batch of the epoch; nothing at its end.
  ///
  /// Throws: Error naming sample, path and reason for one that cannot be made.
  virtual std::vector<SamplePtr> next_batch() = 0;
};

}  // namespace llava::train
