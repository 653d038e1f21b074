// SPDX-License-Identifier: Apache-2.0
//
// The generators against their published definitions; tests/data/core/make_xoshiro.py prints the
// values of the first.
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

// The known answers that the authors publish with their library (Random123, kat_vectors).
TEST(PhiloxTest, GivesTheKnownAnswers) {
  using Words = std::array<uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627E8D5u, 0xE169C58Du, 0xBC57AC4Cu, 0x9B00DBD8u}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (Words{0x408F276Du, 0x41C83B0Eu, 0xA20BC7C6u, 0x6D5451FDu}));
  EXPECT_EQ(
      philox4x32({0x243F6A88u, 0x85A308D3u, 0x13198A2Eu, 0x03707344u}, {0xA4093822u, 0x299F31D0u}),
      (Words{0xD16CFE09u, 0x94FDCCEBu, 0x5001E420u, 0x24126EA1u}));
}

TEST(PhiloxTest, UniformUsesEveryPartOfItsArguments) {
  // Bits of the first known answer.
  EXPECT_EQ(uniform_at(0, 0, 0), static_cast<double>(0xE169C58D6627E8D5u >> 11) * 0x1.0p-53);
  const double base = uniform_at(1, 2, 3);
  EXPECT_EQ(uniform_at(1, 2, 3), base);
  constexpr uint64_t kHigh = uint64_t{1} << 40;
  for (const double other :
       {uniform_at(2, 2, 3), uniform_at(1, 3, 3), uniform_at(1, 2, 4), uniform_at(1 + kHigh, 2, 3),
        uniform_at(1, 2 + kHigh, 3), uniform_at(1, 2, 3 + kHigh)}) {
    EXPECT_NE(other, base);
  }
}

TEST(PhiloxTest, NeighboursAreEvenAndIndependent) {
  constexpr int kDraws = 40000;
  std::vector<int> pairs(16);
  for (uint64_t i = 0; i < kDraws; ++i) {
    const auto here = static_cast<std::size_t>(4 * uniform_at(5, 0, i));
    const auto next = static_cast<std::size_t>(4 * uniform_at(5, 1, i));
    ++pairs[4 * here + next];
  }
  // Standard deviation of a count is 48.
  for (const int count : pairs) EXPECT_NEAR(count, kDraws / 16, 240);
}

}  // namespace
}  // namespace llava
