// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/generation.h"

#include <gtest/gtest.h>

#include <limits>

#include "llava/core/error.h"
#include "table_model.h"

namespace llava::engine {
namespace {

// Always wants the number of ids so far as the next id.
std::vector<float> counting(const std::vector<int32_t>& ids) {
  std::vector<float> logits(8, 0.0f);
  logits[ids.size() % 8] = 1.0f;
  return logits;
}

GenerationParams greedy(int32_t max_new_tokens) {
  GenerationParams params;
  params.max_new_tokens = max_new_tokens;
  return params;
}

TEST(Generate, StopsAtTheLimitWithoutAWastedStep) {
  TableModel model(counting);
  const Generated result = generate(model, 0, model.first_logits(), greedy(4), {}, {}, {});
  EXPECT_EQ(result.ids, (std::vector<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(result.finish_reason, FinishReason::kLength);
  EXPECT_EQ(model.num_steps(), 3);
}

TEST(Generate, KeepsTheEndTokenInTheIds) {
  TableModel model(counting);
  GenerationParams params = greedy(10);
  params.end_ids = {7, 2};
  const Generated result = generate(model, 0, model.first_logits(), params, {}, {}, {});
  EXPECT_EQ(result.ids, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(result.finish_reason, FinishReason::kEndToken);
}

TEST(Generate, EndsWhenTheCallbackSaysSo) {
  TableModel model(counting);
  const Generated result = generate(model, 0, model.first_logits(), greedy(10),
                                    [](int32_t id) { return id < 1; }, {}, {});
  EXPECT_EQ(result.ids, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(result.finish_reason, FinishReason::kStopString);
}

TEST(Generate, IsCancelledBetweenTokens) {
  TableModel model(counting);
  std::stop_source source;
  const Generated result = generate(
      model, 0, model.first_logits(), greedy(10),
      [&](int32_t id) {
        if (id == 2) source.request_stop();
        return true;
      },
      {}, source.get_token());
  EXPECT_EQ(result.ids, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(result.finish_reason, FinishReason::kCancelled);
}

// Any choice would be arbitrary, greedy or drawn.
TEST(Generate, ScoresThatAreNoNumbersAreAnError) {
  TableModel model([](const std::vector<int32_t>& ids) {
    const float value = ids.size() < 2 ? 1.0f : std::numeric_limits<float>::quiet_NaN();
    return std::vector<float>{0.0f, value, -1.0f};
  });
  for (const float temperature : {0.0f, 1.0f}) {
    GenerationParams params = greedy(8);
    params.sampling.temperature = temperature;
    try {
      generate(model, model.fork(0), model.first_logits(), params, {}, {}, {});
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
      EXPECT_NE(std::string(error.what()).find("token 3"), std::string::npos) << error.what();
    }
  }
}

TEST(Generate, NeverChoosesAnIdThatIsNotAllowed) {
  TableModel model(counting);
  GenerationParams params = greedy(8);
  params.num_allowed_ids = 3;
  const Generated result = generate(model, 0, model.first_logits(), params, {}, {}, {});
  for (const int32_t id : result.ids) EXPECT_LT(id, 3);
}

TEST(Generate, RepeatsItselfUnderOneSeed) {
  const auto flat = [](const std::vector<int32_t>&) { return std::vector<float>(50, 0.0f); };
  GenerationParams params = greedy(20);
  params.sampling.temperature = 1.0f;
  params.sampling.top_k = 0;
  params.sampling.seed = 42;
  TableModel first(flat), second(flat), third(flat);
  const Generated a = generate(first, 0, first.first_logits(), params, {}, {}, {});
  const Generated b = generate(second, 0, second.first_logits(), params, {}, {}, {});
  params.sampling.seed = 43;
  const Generated c = generate(third, 0, third.first_logits(), params, {}, {}, {});
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_NE(a.ids, c.ids);
}

TEST(Generate, PenalisesPromptIdsAndNewIds) {
  const auto rule = [](const std::vector<int32_t>&) { return std::vector<float>{4, 3.5f, 3}; };
  TableModel model(rule);
  GenerationParams params = greedy(2);
  params.sampling.repetition_penalty = 2.0f;
  params.penalty_ids = {0};
  const Generated result = generate(model, 0, model.first_logits(), params, {}, {}, {});
  EXPECT_EQ(result.ids, (std::vector<int32_t>{1, 2}));
}

TEST(Validate, NamesTheSettingAndWhatWasExpected) {
  GenerationParams params;
  params.sampling.top_p = 0.0f;
  try {
    validate(params);
    FAIL() << "top-p 0 was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find("top-p is 0"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace llava::engine
