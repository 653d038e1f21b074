// SPDX-License-Identifier: Apache-2.0
//
// Which batches of an epoch each of several training processes gets.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace llava::data {

/// How an order is shared out.
struct BatchShare {
  int32_t batch_size = 1;
  int32_t world_size = 1;
  bool drop_last = false;
  /// Samples of the order that are done: batches begin behind them.
  int64_t first_sample = 0;
};

/// Number of batches of every rank.
int64_t num_rank_batches(int64_t num_samples, const BatchShare& share);

/// The batches of one rank: batch k of the order goes to rank k mod world_size.
///
/// With several ranks all get equally many full batches: what the last round lacks comes from the
/// first world_size batches of the epoch, beginning with their first sample. With drop_last the
/// last round is left out instead. A single rank takes the batches as they are, the last one short.
/// Throws: Error(kInvalidArgument) for a rank outside the world, a size below 1, a first sample
/// outside the order.   Threads: safe.
/// Source: accelerate 0.21 BatchSamplerShard.
std::vector<std::vector<int64_t>> rank_batches(std::span<const int64_t> order,
                                               const BatchShare& share, int32_t rank);

}  // namespace llava::data
