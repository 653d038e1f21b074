// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/token_chooser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/random.h"
#include "llava/engine/logprobs.h"

namespace llava::engine {
namespace {

using ::testing::ElementsAre;

constexpr float kGone = -std::numeric_limits<float>::infinity();

SamplingParams sampled(uint64_t seed = 0) {
  return {.temperature = 1.0f, .top_k = 0, .seed = seed};
}

int32_t choose(const SamplingParams& params, std::vector<float> logits,
               const ChooserContext& context = {}, std::vector<uint64_t> allowed = {}) {
  ChooserScratch scratch;
  return TokenChooser(params, context).choose(logits, scratch, allowed).id;
}

// Every id that some position draws.
std::set<int32_t> drawn_ids(const SamplingParams& params, std::vector<float> logits,
                            const ChooserContext& context = {},
                            const std::vector<uint64_t>& allowed = {}) {
  ChooserScratch scratch;
  TokenChooser chooser(params, context);
  std::set<int32_t> ids;
  for (int i = 0; i < 400; ++i) {
    ids.insert(chooser.choose(logits, scratch, allowed).id);
    chooser.accept(static_cast<int32_t>(logits.size()) + 5);
  }
  return ids;
}

std::vector<float> logs(std::vector<float> probabilities) {
  for (float& value : probabilities) value = std::log(value);
  return probabilities;
}

TEST(TokenChooser, GreedyTakesTheLowestIdOnATie) {
  EXPECT_EQ(choose({}, {1, 3, 3, 2}), 1);
  // A tie across the vector lanes of the scan and its tail.
  std::vector<float> logits(100, 0.0f);
  logits[97] = logits[98] = logits[40] = 2;
  EXPECT_EQ(choose({}, logits), 40);
}

TEST(TokenChooser, PutsTheLogitsBack) {
  SamplingParams params = sampled();
  params.logit_bias = {{1, 5.0f}, {1, 2.0f}};
  params.repetition_penalty = 1.7f;
  params.presence_penalty = 0.3f;
  params.min_tokens = 9;
  ChooserScratch scratch;
  TokenChooser chooser(params, {.end_ids = {2, 1}, .penalty_ids = {0, 1}});
  chooser.accept(1);
  std::vector<float> logits{0.1f, 0.2f, 0.3f, -0.4f};
  const std::vector<float> before = logits;
  chooser.choose(logits, scratch);
  EXPECT_EQ(logits, before);
}

TEST(TokenChooser, BiasComesBeforeTheRepetitionPenalty) {
  SamplingParams params;
  params.logit_bias = {{0, 3.0f}};
  params.repetition_penalty = 2.0f;
  // (4 + 3) / 2 is less than 4; the other way round, 4 / 2 + 3 is more.
  EXPECT_EQ(choose(params, {4, 4}, {.penalty_ids = {0}}), 1);
}

TEST(TokenChooser, RepetitionPenaltyCountsPromptAndAnswerOnce) {
  SamplingParams params;
  params.repetition_penalty = 2.0f;
  EXPECT_EQ(choose(params, {4, 3.5f, 3}, {.penalty_ids = {0, 0, 9, -1}}), 1);
  ChooserScratch scratch;
  TokenChooser chooser(params, {.penalty_ids = {0}});
  chooser.accept(1);
  chooser.accept(1);
  std::vector<float> logits{4, 3.5f, 1.7f};
  EXPECT_EQ(chooser.choose(logits, scratch).id, 0);  // 2, 1.75, 1.7
  logits = {-1, -1.5f, -2.5f};
  EXPECT_EQ(chooser.choose(logits, scratch).id, 0);  // -2, -3, -2.5
}

TEST(TokenChooser, PresenceAndFrequencyCountTheAnswerOnly) {
  SamplingParams params;
  params.presence_penalty = 1.0f;
  params.frequency_penalty = 0.5f;
  ChooserScratch scratch;
  TokenChooser chooser(params, {.penalty_ids = {0}});
  std::vector<float> logits{3, 2.2f, 1.1f};
  EXPECT_EQ(chooser.choose(logits, scratch).id, 0);
  chooser.accept(0);
  EXPECT_EQ(chooser.choose(logits, scratch).id, 1);  // 1.5, 2.2
  chooser.accept(1);
  EXPECT_EQ(chooser.choose(logits, scratch).id, 0);  // 1.5, 0.7
  chooser.accept(0);
  EXPECT_EQ(chooser.choose(logits, scratch).id, 2);  // 1, 0.7, 1.1
}

TEST(TokenChooser, NoEndTokenBeforeTheMinimumLength) {
  SamplingParams params;
  params.min_tokens = 2;
  ChooserScratch scratch;
  TokenChooser chooser(params, {.end_ids = {0, 1}});
  std::vector<float> logits{9, 8, 1, 2};
  EXPECT_EQ(chooser.choose(logits, scratch).id, 3);
  chooser.accept(3);
  EXPECT_EQ(chooser.choose(logits, scratch).id, 3);
  chooser.accept(3);
  EXPECT_EQ(chooser.choose(logits, scratch).id, 0);
  // Only the end is allowed by the grammar.
  EXPECT_EQ(choose(params, {9, 8, 1, 2}, {.end_ids = {0, 1}}, {0b10}), 1);
}

TEST(TokenChooser, TheMaskHoldsForGreedyAndDraws) {
  const std::vector<uint64_t> allowed{uint64_t{1} << 63 | 4, 0b1};
  std::vector<float> logits(70, 1.0f);
  logits[10] = 50;
  logits[64] = 2;
  EXPECT_EQ(choose({}, logits, {}, allowed), 64);
  EXPECT_THAT(drawn_ids(sampled(), logits, {}, allowed), ElementsAre(2, 63, 64));
  EXPECT_THROW(choose({}, logits, {}, {1}), Error);
}

TEST(TokenChooser, IdsBeyondTheVocabularyDoNotExist) {
  SamplingParams params = sampled();
  params.num_logprobs = 5;
  ChooserScratch scratch;
  std::vector<float> logits = logs({0.5f, 0.5f, 100.0f});
  EXPECT_THAT(drawn_ids(params, logits, {.num_ids = 2}), ElementsAre(0, 1));
  const TokenChoice choice = TokenChooser(params, {.num_ids = 2}).choose(logits, scratch);
  EXPECT_EQ(choice.top.size(), 2u);
  EXPECT_NEAR(choice.logprob, std::log(0.5f), 1e-6f);
  // Not even when a mask has their bits.
  EXPECT_EQ(choose({}, {1, 2, 3}, {.num_ids = 2}, {0b111}), 1);
}

TEST(TokenChooser, TopKBreaksTiesByTheLowerId) {
  SamplingParams params = sampled();
  params.top_k = 2;
  EXPECT_THAT(drawn_ids(params, {1, 5, 3, 3, 3, 0}), ElementsAre(1, 2));
}

TEST(TokenChooser, TopPKeepsTheSmallestSetThatReachesP) {
  SamplingParams params = sampled();
  const std::vector<float> logits = logs({0.1f, 0.25f, 0.5f, 0.15f});
  params.top_p = 0.7f;
  EXPECT_THAT(drawn_ids(params, logits), ElementsAre(1, 2));
  params.top_p = 0.01f;
  EXPECT_THAT(drawn_ids(params, logits), ElementsAre(2));
  params.top_p = 1.0f;
  EXPECT_EQ(drawn_ids(params, logits).size(), 4u);
  // Of what top-k leaves: 0.25 / 0.75 is a third.
  params.top_p = 0.66f;
  params.top_k = 2;
  EXPECT_THAT(drawn_ids(params, logits), ElementsAre(2));
  // More than are sorted at first; all equally likely, so the lower ids stay.
  params.top_k = 0;
  params.top_p = 0.4999f;
  const std::set<int32_t> ids = drawn_ids(params, std::vector<float>(200, 1.0f));
  EXPECT_LT(*ids.rbegin(), 100);
  EXPECT_GT(*ids.rbegin(), 90);
}

TEST(TokenChooser, TemperatureComesBeforeTheFilters) {
  SamplingParams params = sampled();
  params.temperature = 0.5f;
  params.top_p = 0.7f;
  EXPECT_THAT(drawn_ids(params, logs({0.5f, 0.25f, 0.15f, 0.1f})), ElementsAre(0));
}

TEST(TokenChooser, MinPIsAShareOfTheMostLikely) {
  SamplingParams params = sampled();
  params.min_p = 0.4f;
  EXPECT_THAT(drawn_ids(params, logs({0.5f, 0.25f, 0.15f, 0.1f})), ElementsAre(0, 1));
  params.min_p = 1.0f;
  EXPECT_THAT(drawn_ids(params, logs({0.5f, 0.25f, 0.15f, 0.1f})), ElementsAre(0));
}

TEST(TokenChooser, FollowsTheDistribution) {
  const std::vector<float> base = logs({0.6f, 0.0f, 0.3f, 0.1f});
  constexpr int kDraws = 20000;
  ChooserScratch scratch;
  TokenChooser chooser(sampled(7), {});
  std::vector<int> counts(base.size());
  std::vector<float> logits = base;
  for (int i = 0; i < kDraws; ++i) {
    ++counts[static_cast<std::size_t>(chooser.choose(logits, scratch).id)];
    chooser.accept(0);
  }
  // Four standard deviations of a binomial count.
  const auto within = [&](int count, double p) {
    return std::fabs(count - kDraws * p) <= 4 * std::sqrt(kDraws * p * (1 - p));
  };
  EXPECT_TRUE(within(counts[0], 0.6)) << counts[0];
  EXPECT_EQ(counts[1], 0);
  EXPECT_TRUE(within(counts[2], 0.3)) << counts[2];
  EXPECT_TRUE(within(counts[3], 0.1)) << counts[3];
}

TEST(TokenChooser, ADrawDependsOnSeedChoiceAndPositionAlone) {
  const auto sequence = [](uint64_t seed, int32_t choice_index, int first) {
    ChooserScratch scratch;
    TokenChooser chooser(sampled(seed), {.choice_index = choice_index});
    std::vector<float> logits(50, 0.0f);
    std::vector<int32_t> ids;
    for (int i = 0; i < 30; ++i) {
      if (i >= first) ids.push_back(chooser.choose(logits, scratch).id);
      chooser.accept(0);
    }
    return ids;
  };
  const std::vector<int32_t> all = sequence(42, 0, 0);
  EXPECT_EQ(sequence(42, 0, 10), std::vector<int32_t>(all.begin() + 10, all.end()));
  EXPECT_NE(sequence(43, 0, 0), all);
  EXPECT_NE(sequence(42, 1, 0), all);
  EXPECT_EQ(sequence(42, 1, 0), sequence(42, 1, 0));
}

// A filter that removes nothing changes nothing, although it reorders its candidates.
TEST(TokenChooser, TheDrawRunsOverIdsInOrder) {
  Generator generator(3);
  std::vector<float> logits(300);
  for (float& value : logits) value = static_cast<float>(3 * generator.uniform());
  SamplingParams wide = sampled(9);
  wide.top_p = 0.9999999f;
  ChooserScratch scratch;
  TokenChooser first(sampled(9), {});
  TokenChooser second(wide, {});
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(first.choose(logits, scratch).id, second.choose(logits, scratch).id);
    first.accept(0);
    second.accept(0);
  }
}

TEST(TokenChooser, LogprobsAreTheModels) {
  SamplingParams params;
  params.num_logprobs = 3;
  params.logit_bias = {{3, 100.0f}};
  ChooserScratch scratch;
  std::vector<float> logits = logs({0.4f, 0.1f, 0.4f, 0.1f});
  const TokenChoice choice = TokenChooser(params, {}).choose(logits, scratch);
  EXPECT_EQ(choice.id, 3);
  EXPECT_NEAR(choice.logprob, std::log(0.1f), 1e-6f);
  ASSERT_EQ(choice.top.size(), 3u);
  EXPECT_EQ(choice.top[0].id, 0);
  EXPECT_EQ(choice.top[1].id, 2);
  EXPECT_EQ(choice.top[2].id, 1);
  EXPECT_NEAR(choice.top[0].logprob, std::log(0.4f), 1e-6f);
  params.num_logprobs = 0;
  EXPECT_TRUE(TokenChooser(params, {}).choose(logits, scratch).top.empty());
}

TEST(TokenChooser, RefusesDamagedLogits) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const auto& logits :
       {std::vector<float>{0, nan, 1}, {kGone, kGone, kGone}, {0, 1, -kGone}}) {
    EXPECT_THROW(choose({}, logits), Error);
    EXPECT_THROW(choose(sampled(), logits), Error);
  }
  std::vector<float> many(1000, 0.0f);
  many[517] = nan;
  EXPECT_THROW(choose({}, many), Error);
  EXPECT_THROW(choose({}, {0, kGone}, {}, {0b10}), Error);
}

TEST(LogSumExp, SurvivesLargeLogits) {
  EXPECT_NEAR(log_sum_exp(std::vector<float>{1000, 1000}), 1000 + std::log(2.0), 1e-9);
}

}  // namespace
}  // namespace llava::engine
