// SPDX-License-Identifier: Apache-2.0
#include "llava/train/loss_scale.h"

#include <gtest/gtest.h>

#include "llava/core/error.h"

namespace llava::train {
namespace {

TEST(LossScaleTest, OffItIsOne) {
  LossScale scale(false);
  scale.update(true);
  EXPECT_EQ(scale.value(), 1.0);
}

TEST(LossScaleTest, TwoLivesThenHalves) {
  LossScale scale(true);
  EXPECT_EQ(scale.value(), 65536.0);
  scale.update(true);
  EXPECT_EQ(scale.value(), 65536.0);
  scale.update(true);
  EXPECT_EQ(scale.value(), 32768.0);
  for (int i = 0; i < 999; ++i) scale.update(false);
  EXPECT_EQ(scale.value(), 32768.0);
  scale.update(false);
  EXPECT_EQ(scale.value(), 65536.0);
  scale.update(true);
  EXPECT_EQ(scale.value(), 65536.0);
}

TEST(LossScaleTest, AnOverflowAtOneEndsTheRun) {
  LossScale scale(true);
  EXPECT_THROW(
      {
        for (int i = 0; i < 100; ++i) scale.update(true);
      },
      Error);
}

TEST(LossScaleTest, GoesOnWhereItWas) {
  LossScale scale(true);
  scale.update(true);
  scale.update(true);
  LossScale other(true);
  other.restore(scale.save());
  other.update(true);
  EXPECT_EQ(other.value(), 16384.0);
}

}  // namespace
}  // namespace llava::train
