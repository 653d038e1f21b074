// SPDX-License-Identifier: Apache-2.0
#include "llava/train/run_state.h"

#include <gtest/gtest.h>

namespace llava::train {
namespace {

// 100 samples an epoch, two epochs, steps of 4; 10 steps are done.
const SavedShape kSaved{.batches = {.batch_size = 2, .batches_per_round = 2, .accumulation = 1},
                        .order = {.batch_size = 2, .batches_per_round = 2, .accumulation = 1},
                        .num_steps = 50,
                        .global_step = 10,
                        .epoch = 0,
                        .first_sample = 40};

int64_t steps_with(const SavedShape& saved, const BatchShape& batches, double epochs) {
  const DataShape now{.num_samples = 100, .batches = batches, .order = saved.order};
  const int64_t per_round = batches.samples_per_round();
  const StepPlan plan =
      plan_steps((100 + per_round - 1) / per_round, batches.accumulation, epochs, -1, 0, 0);
  const int64_t rounds_left = (100 - saved.first_sample + per_round - 1) / per_round;
  return resumed_num_steps(saved, now, plan, rounds_left, epochs);
}

TEST(ResumedStepsTest, AreTheSameWhereStepsAre) {
  EXPECT_EQ(steps_with(kSaved, {.batch_size = 1, .batches_per_round = 4}, 2), 50);
  EXPECT_EQ(steps_with(kSaved, {.batch_size = 1, .accumulation = 4}, 2), 50);
}

TEST(ResumedStepsTest, CoverTheRestOfTheData) {
  // Steps of 20: three for the rest of the epoch, five for the other one.
  EXPECT_EQ(steps_with(kSaved, {.batch_size = 10, .batches_per_round = 2}, 2), 10 + 3 + 5);
  // Steps of 2.
  EXPECT_EQ(steps_with(kSaved, {.batch_size = 2}, 2), 10 + 30 + 50);
  // Half an epoch, of which four tenths are done.
  EXPECT_EQ(steps_with(kSaved, {.batch_size = 2}, 0.5), 10 + 5);
}

TEST(ResumedStepsTest, AreDoneAtTheEnd) {
  SavedShape saved = kSaved;
  saved.epoch = 1;
  saved.first_sample = 100;
  EXPECT_EQ(steps_with(saved, {.batch_size = 10}, 2), 10);
}

}  // namespace
}  // namespace llava::train
