// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "llava/core/error.h"
#include "llava/core/random.h"
#include "llava/engine/beam_search.h"
#include "table_model.h"

namespace llava::engine {
namespace {

constexpr int32_t kVocabulary = 5;
constexpr int32_t kEnd = 4;

// Logits that look random but depend on nothing but seed and ids.
TableModel::Rule hashed(uint64_t seed) {
  return [seed](const std::vector<int32_t>& ids) {
    uint64_t key = seed;
    for (const int32_t id : ids) key = key * 1099511628211u + static_cast<uint64_t>(id) + 1;
    Generator generator(key);
    std::vector<float> logits(kVocabulary);
    for (float& value : logits) value = static_cast<float>(4 * generator.uniform());
    return logits;
  };
}

// Best score over every answer of at most `limit` ids, by trying all of them.
double best_score(const TableModel::Rule& rule, int32_t limit, std::vector<int32_t>& ids,
                  double sum) {
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
    const TableModel::Rule rule = hashed(seed);
    TableModel model(rule);
    GenerationParams params = params_of(200, 3);
    params.early_stopping = EarlyStopping::kNever;
    const Generated result = beam_search(model, 0, model.first_logits(), params, {});
    std::vector<int32_t> ids;
    EXPECT_NEAR(result.score, best_score(rule, 3, ids, 0), 1e-5);
  }
}

TEST(BeamSearch, ScoreIsThatOfTheAnswer) {
  const TableModel::Rule rule = hashed(99);
  TableModel model(rule);
  const Generated result = beam_search(model, 0, model.first_logits(), params_of(3, 6), {});
  double sum = 0;
  std::vector<int32_t> prefix;
  for (const int32_t id : result.ids) {
    sum += static_cast<double>(log_softmax(rule(prefix))[static_cast<std::size_t>(id)]);
    prefix.push_back(id);
  }
  EXPECT_NEAR(result.score, sum / static_cast<double>(result.ids.size()), 1e-5);
}

TEST(BeamSearch, KeepsAtMostTwiceItsWidthAlive) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    TableModel model(hashed(seed));
    beam_search(model, 0, model.first_logits(), params_of(4, 12), {});
    EXPECT_LE(model.num_alive(), 8u);
  }
}

// Driven by hand, every list keeps to its parents: the ids of the answer are a path through them.
TEST(BeamSearch, StepsNameParentsOfTheLastList) {
  const TableModel::Rule rule = hashed(5);
  BeamSearch search(params_of(3, 8));
  std::vector<std::vector<int32_t>> live{{}};
  while (!search.is_over()) {
    ASSERT_EQ(search.num_live(), live.size());
    std::vector<std::vector<float>> logits;
    for (const auto& ids : live) logits.push_back(rule(ids));
    const std::vector<std::span<const float>> rows(logits.begin(), logits.end());
    std::vector<std::vector<int32_t>> extended;
    for (const BeamToken& beam : search.step(rows)) {
      ASSERT_LT(beam.parent, live.size());
      extended.push_back(live[beam.parent]);
      extended.back().push_back(beam.id);
    }
    live = std::move(extended);
  }
  TableModel model(rule);
  EXPECT_EQ(search.result().ids,
            beam_search(model, 0, model.first_logits(), params_of(3, 8), {}).ids);
  EXPECT_THROW(search.step({}), Error);
}

TEST(BeamSearch, IsCancelled) {
  TableModel model(hashed(1));
  std::stop_source source;
  source.request_stop();
  const Generated result =
      beam_search(model, 0, model.first_logits(), params_of(2, 5), source.get_token());
  EXPECT_EQ(result.finish_reason, FinishReason::kCancelled);
}

}  // namespace
}  // namespace llava::engine
