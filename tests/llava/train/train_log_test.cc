// SPDX-License-Identifier: Apache-2.0
#include "llava/train/train_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>

namespace llava::train {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// What the published trainer reported for these micro-losses with two of them a step.
TEST(LossMeterTest, NumbersThatAreNoneAreReplacedAsPublished) {
  LossMeter losses(2, true);
  losses.add(11.2696f, 0);
  losses.add(kNan, 0);
  EXPECT_NEAR(losses.take_mean(1), 11.2696, 1e-4);
  losses.add(kNan, 1);
  losses.add(13.1054f, 1);
  EXPECT_NEAR(losses.take_mean(2), 6.5527, 1e-4);
}

TEST(LossMeterTest, WithoutTheFilterTheyStay) {
  LossMeter losses(1, false);
  losses.add(kNan, 0);
  EXPECT_TRUE(std::isnan(losses.take_mean(1)));
}

TEST(LossMeterTest, MeansOverStepsAndOverTheRun) {
  LossMeter losses(1, true);
  losses.add(1.0f, 0);
  losses.add(3.0f, 1);
  EXPECT_DOUBLE_EQ(losses.take_mean(2), 2.0);
  losses.add(5.0f, 2);
  EXPECT_DOUBLE_EQ(losses.total_mean(3), 3.0);
  LossMeter other(1, true);
  other.restore(losses.save());
  EXPECT_DOUBLE_EQ(other.take_mean(3), 5.0);
  EXPECT_DOUBLE_EQ(other.total_mean(3), 3.0);
}

// The mean of what the ranks have summed, each with its own replacements.
TEST(LossMeterTest, HasASumForEachRank) {
  LossMeter losses(2, true, 2);
  for (const auto& [rank, loss] : {std::pair{0, 1.0f}, {1, 3.0f}, {0, 2.0f}, {1, kNan}}) {
    losses.add(loss, 0, rank);
  }
  LossMeter same(2, true, 2);
  LossMeter one(2, true);
  same.restore(losses.save());
  one.restore(losses.save());
  EXPECT_DOUBLE_EQ(losses.take_mean(1), (1.5 + 3.0) / 2);
  EXPECT_DOUBLE_EQ(same.take_mean(1), (1.5 + 3.0) / 2);
  EXPECT_DOUBLE_EQ(one.take_mean(1), (1.5 + 3.0) / 2);
}

TEST(TrainLogTest, LinesAreThePublishedOnes) {
  EXPECT_EQ(to_line({.step = 1, .epoch = 1.0, .loss = 10.7411, .learning_rate = 0.001}),
            "{'loss': 10.7411, 'learning_rate': 0.001, 'epoch': 1.0}");
  EXPECT_EQ(
      to_line(
          {.step = 1, .epoch = 0.07, .loss = std::nan(""), .learning_rate = 1.282051282051282e-07}),
      "{'loss': nan, 'learning_rate': 1.282051282051282e-07, 'epoch': 0.07}");
}

TEST(TrainLogTest, RoundsAsPython) {
  EXPECT_EQ(round_decimals(10.74112, 4), 10.7411);
  EXPECT_EQ(round_decimals(2.675, 2), 2.67);
  EXPECT_TRUE(std::isnan(round_decimals(std::nan(""), 4)));
}

}  // namespace
}  // namespace llava::train
