// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

constexpr float kGone = -std::numeric_limits<float>::infinity();

std::vector<int> kept(const std::vector<float>& logits) {
  std::vector<int> ids;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] != kGone) ids.push_back(static_cast<int>(i));
  }
  return ids;
}

TEST(Argmax, TakesTheLowestIdOnATie) {
  EXPECT_EQ(argmax(std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_THROW(argmax(std::vector<float>{}), Error);
}

TEST(RepetitionPenalty, DividesPositiveAndMultipliesNegativeOnce) {
  std::vector<float> logits{2, -2, 4, 1};
  apply_repetition_penalty(logits, std::vector<int32_t>{0, 1, 0, 9, -1}, 2.0f);
  EXPECT_EQ(logits, (std::vector<float>{1, -4, 4, 1}));
}

TEST(FilterLogits, TopKKeepsTiesWithTheLastOne) {
  std::vector<float> logits{1, 5, 3, 3, 0};
  filter_logits(logits, {.temperature = 1.0f, .top_k = 2});
  EXPECT_EQ(kept(logits), (std::vector<int>{1, 2, 3}));
}

TEST(FilterLogits, TopPKeepsTheSmallestSetThatReachesP) {
  // Probabilities 0.5, 0.25, 0.15, 0.1.
  const std::vector<float> base{std::log(0.5f), std::log(0.25f), std::log(0.15f), std::log(0.1f)};
  std::vector<float> logits = base;
  filter_logits(logits, {.temperature = 1.0f, .top_k = 0, .top_p = 0.7f});
  EXPECT_EQ(kept(logits), (std::vector<int>{0, 1}));
  logits = base;
  filter_logits(logits, {.temperature = 1.0f, .top_k = 0, .top_p = 0.01f});
  EXPECT_EQ(kept(logits), (std::vector<int>{0}));
  logits = base;
  filter_logits(logits, {.temperature = 1.0f, .top_k = 0, .top_p = 1.0f});
  EXPECT_EQ(kept(logits).size(), 4u);
}

TEST(FilterLogits, TemperatureComesBeforeTopP) {
  // At temperature 0.5 the first token alone has more than 0.7.
  std::vector<float> logits{std::log(0.5f), std::log(0.25f), std::log(0.15f), std::log(0.1f)};
  filter_logits(logits, {.temperature = 0.5f, .top_k = 0, .top_p = 0.7f});
  EXPECT_EQ(kept(logits), (std::vector<int>{0}));
}

TEST(LogSoftmax, SumsToOneForLargeLogits) {
  const std::vector<float> result = log_softmax(std::vector<float>{1000, 999, 0});
  double sum = 0;
  for (const float value : result) sum += std::exp(static_cast<double>(value));
  EXPECT_NEAR(sum, 1.0, 1e-6);
  EXPECT_NEAR(result[0] - result[1], 1.0f, 1e-6f);
}

TEST(Draw, FollowsTheDistribution) {
  const std::vector<float> logits{std::log(0.6f), kGone, std::log(0.3f), std::log(0.1f)};
  constexpr int kDraws = 20000;
  constexpr uint64_t kSeed = 7;
  SCOPED_TRACE(kSeed);
  Generator generator(kSeed);
  std::vector<int> counts(logits.size());
  for (int i = 0; i < kDraws; ++i) ++counts[static_cast<std::size_t>(draw(logits, generator))];
  // Four standard deviations of a binomial count.
  const auto within = [&](int count, double p) {
    return std::fabs(count - kDraws * p) <= 4 * std::sqrt(kDraws * p * (1 - p));
  };
  EXPECT_TRUE(within(counts[0], 0.6)) << counts[0];
  EXPECT_EQ(counts[1], 0);
  EXPECT_TRUE(within(counts[2], 0.3)) << counts[2];
  EXPECT_TRUE(within(counts[3], 0.1)) << counts[3];
}

TEST(Draw, RefusesLogitsWithoutAFiniteValue) {
  Generator generator(1);
  EXPECT_THROW(draw(std::vector<float>{kGone, kGone}, generator), Error);
}

TEST(DrawWithoutReplacement, GivesDistinctIdsAndStopsWhenNoneIsLeft) {
  Generator generator(3);
  std::vector<int32_t> ids =
      draw_without_replacement(std::vector<float>{0, kGone, 1, 2}, 10, generator);
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 2, 3}));
}

}  // namespace
}  // namespace llava::engine
