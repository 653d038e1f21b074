// SPDX-License-Identifier: Apache-2.0
//
// How an answer ends and what its settings do, one request at a time.
#include "llava/engine/generation.h"

#include <gtest/gtest.h>

#include <limits>

#include "fake_engine.h"
#include "llava/core/error.h"

namespace llava::engine {
namespace {

using Rule = std::function<void(std::span<const Symbol> prefix, std::span<float> row)>;

// Always wants the number of ids so far as the next id.
void counting(std::span<const Symbol> prefix, std::span<float> row) {
  row[(prefix.size() - 1) % 8] = 1.0f;
}

// Answers to a prompt of one token.
class Generate : public ::testing::Test {
 protected:
  FakeAnswer answer(const Rule& rule, const GenerationParams& params,
                    std::vector<std::string> stop = {}) {
    FakeEngine fake(4096);
    fake.start();
    fake.runner->rule = rule;
    GenerationRequest request = fake_request({5}, {}, 0, params.max_new_tokens);
    request.params = params;
    request.stop = std::move(stop);
    FakeAnswer result = read_all(*fake.engine->submit(std::move(request))).front();
    fake.engine->wait_until_idle();
    num_steps_ = fake.runner->num_steps;
    return result;
  }

  static GenerationParams greedy(int32_t max_new_tokens) {
    GenerationParams params;
    params.max_new_tokens = max_new_tokens;
    return params;
  }

  int64_t num_steps_ = 0;
};

TEST_F(Generate, StopsAtTheLimitWithoutAWastedStep) {
  const FakeAnswer result = answer(counting, greedy(4));
  EXPECT_EQ(result.ids, (std::vector<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(result.text, "0 1 2 3 ");
  EXPECT_EQ(result.finish_reason, FinishReason::kLength);
  EXPECT_EQ(num_steps_, 4);
}

TEST_F(Generate, KeepsTheEndTokenInTheIds) {
  GenerationParams params = greedy(10);
  params.end_ids = {7, 2};
  const FakeAnswer result = answer(counting, params);
  EXPECT_EQ(result.ids, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(result.finish_reason, FinishReason::kEndToken);
}

TEST_F(Generate, EndsAtAStopString) {
  const FakeAnswer result = answer(counting, greedy(10), {"2 3"});
  EXPECT_EQ(result.ids, (std::vector<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(result.text, "0 1 ");
  EXPECT_EQ(result.finish_reason, FinishReason::kStopString);
}

// Any choice would be arbitrary, greedy or drawn.
TEST_F(Generate, ScoresThatAreNoNumbersAreAnError) {
  const Rule rule = [](std::span<const Symbol> prefix, std::span<float> row) {
    row[1] = prefix.size() < 3 ? 1.0f : std::numeric_limits<float>::quiet_NaN();
  };
  for (const float temperature : {0.0f, 1.0f}) {
    GenerationParams params = greedy(8);
    params.sampling.temperature = temperature;
    try {
      answer(rule, params);
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
      EXPECT_NE(std::string(error.what()).find("token 3"), std::string::npos) << error.what();
    }
  }
}

TEST_F(Generate, NeverChoosesAnIdThatIsNotAllowed) {
  GenerationParams params = greedy(8);
  params.num_allowed_ids = 3;
  for (const int32_t id : answer(counting, params).ids) EXPECT_LT(id, 3);
}

TEST_F(Generate, RepeatsItselfUnderOneSeed) {
  const Rule flat = [](std::span<const Symbol>, std::span<float>) {};
  GenerationParams params = greedy(20);
  params.sampling.temperature = 1.0f;
  params.sampling.top_k = 0;
  params.sampling.seed = 42;
  const std::vector<int32_t> first = answer(flat, params).ids;
  EXPECT_EQ(answer(flat, params).ids, first);
  params.sampling.seed = 43;
  EXPECT_NE(answer(flat, params).ids, first);
}

TEST_F(Generate, PenalisesPromptIdsAndNewIds) {
  const Rule rule = [](std::span<const Symbol>, std::span<float> row) {
    row[0] = 4;
    row[1] = 3.5f;
    row[2] = 3;
  };
  GenerationParams params = greedy(2);
  params.sampling.repetition_penalty = 2.0f;
  params.penalty_ids = {0};
  EXPECT_EQ(answer(rule, params).ids, (std::vector<int32_t>{1, 2}));
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
