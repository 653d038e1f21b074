// SPDX-License-Identifier: Apache-2.0
#include "llava/train/memory_plan.h"
#include "llava/data/rank_batches.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

namespace llava::train {
namespace {

TEST(MemoryPlanTest, TheLargestBatchOfARun) {
  const data::OrderOptions order{.num_samples = 20, .batch_size = 3};
  std::vector<int32_t> lengths(20);
  std::iota(lengths.begin(), lengths.end(), 1);
  const auto sum = [&](const std::vector<int64_t>& batch) {
    return std::accumulate(batch.begin(), batch.end(), int64_t{0}, [&](int64_t s, int64_t i) {
      return s + lengths[static_cast<std::size_t>(i)];
    });
  };
  const auto batches_of = [&](data::EpochOrder& epochs) {
    return data::rank_batches(epochs.next_order(), {.batch_size = order.batch_size}, 0);
  };
  int64_t most = 0;
  data::EpochOrder epochs(order);
  for (int epoch = 0; epoch < 2; ++epoch) {
    for (const auto& batch : batches_of(epochs)) most = std::max(most, sum(batch));
  }
  EXPECT_EQ(sum(largest_batch(order, lengths, 14)), most);
  data::EpochOrder again(order);
  EXPECT_EQ(largest_batch(order, lengths, 1), batches_of(again).front());
}

TEST(MemoryPlanTest, ATableHasThePartsAndWhatWouldSave) {
  const MemoryPlan plan{.moment = "in the forward pass",
                        .parts = {{"weights", int64_t{3} << 20}, {"activations", 1 << 19}}};
  EXPECT_EQ(plan.total(), (int64_t{7} << 19));
  const std::vector<MemorySaving> savings{{"--bf16 True", 1 << 20}};
  EXPECT_EQ(to_table(plan, savings),
            "       3.0 MiB  weights\n"
            "       0.5 MiB  activations\n"
            "       3.5 MiB  in all, in the forward pass\n"
            "       1.0 MiB  less with --bf16 True\n");
}

}  // namespace
}  // namespace llava::train
