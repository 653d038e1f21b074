// SPDX-License-Identifier: Apache-2.0
//
// The generator against its published definition; tests/data/core/make_xoshiro.py prints the
// values.
#include "llava/core/random.h"

#include <gtest/gtest.h>

#include <vector>

#include "llava/core/error.h"

namespace llava {
namespace {

std::vector<uint64_t> first(uint64_t seed, int count) {
  Generator generator(seed);
  std::vector<uint64_t> values;
  for (int i = 0; i < count; ++i) values.push_back(generator());
  return values;
}

TEST(RandomTest, MatchesTheDefinition) {
  EXPECT_EQ(first(0, 5),
            (std::vector<uint64_t>{0x99EC5F36CB75F2B4u, 0xBF6E1F784956452Au, 0x1A5F849D4933E6E0u,
                                   0x6AA594F1262D2D2Cu, 0xBBA5AD4A1F842E59u}));
  EXPECT_EQ(first(42, 5),
            (std::vector<uint64_t>{0x15780B2E0C2EC716u, 0x6104D9866D113A7Eu, 0xAE17533239E499A1u,
                                   0xECB8AD4703B360A1u, 0xFDE6DC7FE2EC5E64u}));
  EXPECT_EQ(first(UINT64_MAX, 5),
            (std::vector<uint64_t>{0x8F5520D52A7EAD08u, 0xC476A018CAA1802Du, 0x81DE31C0D260469Eu,
                                   0xBF658D7E065F3C2Fu, 0x913593FDA1BCA32Au}));
}

TEST(RandomTest, UniformUsesTheHighBits) {
  Generator words(7);
  Generator numbers(7);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double value = numbers.uniform();
    EXPECT_EQ(value, static_cast<double>(words() >> 11) / 9007199254740992.0);
    EXPECT_GE(value, 0.0);
    EXPECT_LT(value, 1.0);
    sum += value;
  }
  // Standard deviation of the mean is 0.0029.
  EXPECT_NEAR(sum / 10000, 0.5, 0.015);
}

TEST(RandomTest, BelowIsInRangeAndEven) {
  Generator generator(11);
  std::vector<int> counts(7);
  for (int i = 0; i < 70000; ++i) ++counts[generator.below(7)];
  // Standard deviation of a count is 93.
  for (const int count : counts) EXPECT_NEAR(count, 10000, 470);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(generator.below(1), 0u);
    EXPECT_LT(generator.below((uint64_t{1} << 63) + 1), (uint64_t{1} << 63) + 1);
    EXPECT_LT(generator.below(UINT64_MAX), UINT64_MAX);
  }
  EXPECT_THROW(generator.below(0), Error);
}

}  // namespace
}  // namespace llava
