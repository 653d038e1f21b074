// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "llava/core/error.h"
#include "llava/core/random.h"
#include "llava/engine/beam_search.h"

namespace llava::engine {
namespace {

constexpr int32_t kVocabulary = 5;
constexpr int32_t kEnd = 4;

using Rule = std::function<std::vector<float>(const std::vector<int32_t>& ids)>;

// Logits that look random but depend on nothing but seed and ids.
Rule hashed(uint64_t seed) {
  return [seed](const std::vector<int32_t>& ids) {
    uint64_t key = seed;
    for (const int32_t id : ids) key = key * 1099511628211u + static_cast<uint64_t>(id) + 1;
    Generator generator(key);
    std::vector<float> logits(kVocabulary);
    for (float& value : logits) value = static_cast<float>(4 * generator.uniform());
    return logits;
  };
}

// Runs a search to its end.
Generated search(const Rule& rule, const GenerationParams& params) {
  BeamSearch beams(params);
  std::vector<std::vector<int32_t>> live{{}};
  while (!beams.is_over()) {
    EXPECT_EQ(beams.num_live(), live.size());
    std::vector<std::vector<float>> logits;
    for (const auto& ids : live) logits.push_back(rule(ids));
    const std::vector<std::span<const float>> rows(logits.begin(), logits.end());
    std::vector<std::vector<int32_t>> extended;
    for (const BeamToken& beam : beams.step(rows)) {
      extended.push_back(live.at(beam.parent));
      extended.back().push_back(beam.id);
    }
    EXPECT_LE(extended.size(), static_cast<std::size_t>(params.num_beams));
    live = std::move(extended);
  }
  EXPECT_THROW(beams.step({}), Error);
  return beams.result();
}

// Best score over every answer of at most `limit` ids, by trying all of them.
double best_score(const Rule& rule, int32_t limit, std::vector<int32_t>& ids, double sum) {
  const std::vector<float> scores = log_softmax(rule(ids));
  double best = -INFINITY;
  for (int32_t id = 0; id < kVocabulary; ++id) {
    const double total = sum + static_cast<double>(scores[static_cast<std::size_t>(id)]);
    ids.push_back(id);
    const bool is_over = id == kEnd || static_cast<int32_t>(ids.size()) == limit;
    best = std::max(best, is_over ? total / static_cast<double>(ids.size())
                                  : best_score(rule, limit, ids, total));
    ids.pop_back();
  }
  return best;
}

GenerationParams params_of(int32_t num_beams, int32_t limit) {
  GenerationParams params;
  params.num_beams = num_beams;
  params.max_new_tokens = limit;
  params.end_ids = {kEnd};
  return params;
}

TEST(BeamSearch, FindsTheBestAnswerWhenTheBeamHoldsAll) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    const Rule rule = hashed(seed);
    GenerationParams params = params_of(200, 3);
    params.early_stopping = EarlyStopping::kNever;
    const Generated result = search(rule, params);
    std::vector<int32_t> ids;
    EXPECT_NEAR(result.score, best_score(rule, 3, ids, 0), 1e-5);
  }
}

TEST(BeamSearch, ScoreIsThatOfTheAnswer) {
  const Rule rule = hashed(99);
  const Generated result = search(rule, params_of(3, 6));
  double sum = 0;
  std::vector<int32_t> prefix;
  for (const int32_t id : result.ids) {
    sum += static_cast<double>(log_softmax(rule(prefix))[static_cast<std::size_t>(id)]);
    prefix.push_back(id);
  }
  EXPECT_NEAR(result.score, sum / static_cast<double>(result.ids.size()), 1e-5);
}

TEST(BeamSearch, IsCancelledBeforeItsEnd) {
  EXPECT_EQ(BeamSearch(params_of(2, 5)).result().finish_reason, FinishReason::kCancelled);
}

}  // namespace
}  // namespace llava::engine
