// SPDX-License-Identifier: Apache-2.0
#include "llava/core/checked_math.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace llava {
namespace {

TEST(CheckedMathTest, AddAtTheLimits) {
  EXPECT_EQ(checked_add<int64_t>(INT64_MAX - 1, 1), INT64_MAX);
  EXPECT_FALSE(checked_add<int64_t>(INT64_MAX, 1));
  EXPECT_FALSE(checked_add<int64_t>(INT64_MIN, -1));
  EXPECT_EQ(checked_add<uint64_t>(UINT64_MAX, 0), UINT64_MAX);
  EXPECT_FALSE(checked_add<uint64_t>(UINT64_MAX, 1));
}

TEST(CheckedMathTest, MultiplyAtTheLimits) {
  EXPECT_EQ(checked_mul<int64_t>(INT64_MAX, 1), INT64_MAX);
  EXPECT_FALSE(checked_mul<int64_t>(INT64_MAX / 2 + 1, 2));
  EXPECT_FALSE(checked_mul<uint64_t>(uint64_t{1} << 32, uint64_t{1} << 32));
  EXPECT_EQ(checked_mul<uint64_t>(UINT64_MAX, 0), 0u);
}

TEST(CheckedMathTest, ProductOfDimensions) {
  EXPECT_EQ(checked_product({}), 1);
  EXPECT_EQ(checked_product(std::array<int64_t, 3>{2, 3, 4}), 24);
  EXPECT_EQ(checked_product(std::array<int64_t, 2>{0, INT64_MAX}), 0);
  EXPECT_FALSE(checked_product(std::array<int64_t, 2>{2, -1}));
  EXPECT_FALSE(checked_product(std::array<int64_t, 3>{1 << 30, 1 << 30, 1 << 30}));
  // An overflow is refused even when a later dimension is zero.
  EXPECT_FALSE(checked_product(std::array<int64_t, 3>{INT64_MAX, 2, 0}));
}

}  // namespace
}  // namespace llava
