// SPDX-License-Identifier: Apache-2.0
#include "llava/data/rank_batches.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "llava/core/error.h"

namespace llava::data {
namespace {

void check_share(const BatchShare& share, int64_t num_samples) {
  if (share.batch_size < 1 || share.world_size < 1) {
    fail(ErrorCode::kInvalidArgument,
         "batches of {} samples for {} ranks, expected at least one of each", share.batch_size,
         share.world_size);
  }
  if (share.first_sample < 0 || share.first_sample > num_samples) {
    fail(ErrorCode::kInvalidArgument, "batches from sample {} of {} on", share.first_sample,
         num_samples);
  }
}

int64_t ceiling(int64_t count, int64_t size) { return (count + size - 1) / size; }

}  // namespace

int64_t num_rank_batches(int64_t num_samples, const BatchShare& share) {
  check_share(share, num_samples);
  const int64_t num_left = num_samples - share.first_sample;
  if (share.drop_last) return num_left / share.batch_size / share.world_size;
  return ceiling(ceiling(num_left, share.batch_size), share.world_size);
}

std::vector<std::vector<int64_t>> rank_batches(std::span<const int64_t> order,
                                               const BatchShare& share, int32_t rank) {
  const auto num_samples = static_cast<int64_t>(order.size());
  check_share(share, num_samples);
  if (rank < 0 || rank >= share.world_size) {
    fail(ErrorCode::kInvalidArgument, "rank {} of {} ranks, expected from 0 to {}", rank,
         share.world_size, share.world_size - 1);
  }
  const int64_t size = share.batch_size;
  // Missing samples are those at the beginning, over and over among the first round's.
  const int64_t first_round = std::min<int64_t>(num_samples, size * share.world_size);
  std::vector<std::vector<int64_t>> batches;
  const int64_t count = num_rank_batches(num_samples, share);
  batches.reserve(static_cast<std::size_t>(count));
  for (int64_t round = 0; round < count; ++round) {
    const int64_t begin = share.first_sample + (round * share.world_size + rank) * size;
    const int64_t end = share.world_size == 1 ? std::min(begin + size, num_samples) : begin + size;
    std::vector<int64_t> batch;
    batch.reserve(static_cast<std::size_t>(size));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = i < num_samples ? i : (i - num_samples) % first_round;
      batch.push_back(order[static_cast<std::size_t>(at)]);
    }
    batches.push_back(std::move(batch));
  }
  return batches;
}

}  // namespace llava::data
