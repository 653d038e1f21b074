// SPDX-License-Identifier: Apache-2.0
//
// Where given answers looked, through the engine with the fake runner: every token's map is that of
// the position before it, whatever is batched, cut, cached or preempted, and answers beside it are
// what they are alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>

#include "fake_engine.h"

namespace llava::engine {
namespace {

using ::testing::HasSubstr;

constexpr int32_t kPictureTokens = 16;

/// A prompt with two pictures, and an answer of `num_answer` tokens to look for.
GenerationRequest look_request(int32_t num_answer, int32_t layer = model::kAllLayers) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 90; ++i) ids.push_back(1 + i * 7 % 400);
  GenerationRequest request = fake_request(ids, {{3, 5}, {4, 40}}, kPictureTokens, num_answer);
  LookRequest look{.answer = {}, .layer = layer};
  for (int32_t i = 0; i < num_answer; ++i) look.answer.push_back(2 + i * 11 % 300);
  request.look = std::move(look);
  return request;
}

/// The maps of a request, from the definition.
std::vector<float> maps_alone(const GenerationRequest& request) {
  LookQuery query{.layer = request.look->layer, .ranges = {}};
  std::vector<Symbol> prefix;
  for (const int32_t id : request.prompt.ids) prefix.push_back({.image = 0, .value = id});
  for (const text::ImageSpan& span : request.prompt.images) {
    query.ranges.push_back({span.offset, span.offset + span.num_tokens});
    for (int32_t i = 0; i < span.num_tokens; ++i) {
      prefix[static_cast<std::size_t>(span.offset + i)] = {
          .image = fake_features(request.images[static_cast<std::size_t>(span.image)].key),
          .value = i};
    }
  }
  std::vector<float> maps;
  for (const int32_t id : request.look->answer) {
    add_fake_look(query, prefix, maps);
    prefix.push_back({.image = 0, .value = id});
  }
  return maps;
}

struct Look {
  std::vector<int32_t> ids;
  std::vector<float> maps;
  std::optional<FinishReason> finish_reason;
};

Look read_look(AnswerStream& stream) {
  Look look;
  while (const auto delta = stream.next()) {
    for (const TokenChoice& token : delta->tokens) look.ids.push_back(token.id);
    look.maps.insert(look.maps.end(), delta->attention.begin(), delta->attention.end());
    if (delta->finish_reason) look.finish_reason = delta->finish_reason;
  }
  return look;
}

void expect_look(AnswerStream& stream, const GenerationRequest& request) {
  const Look look = read_look(stream);
  EXPECT_EQ(look.ids, request.look->answer);
  EXPECT_EQ(look.maps, maps_alone(request));
  EXPECT_EQ(look.finish_reason, FinishReason::kEndToken);
}

TEST(EngineLook, EveryTokenIsLookedForByThePositionBeforeIt) {
  for (const int32_t num_answer : {1, 2, 31, 32, 33, 34, 65, 100}) {
    for (const int32_t layer : {model::kAllLayers, 0, 3}) {
      SCOPED_TRACE(std::to_string(num_answer) + " tokens, layer " + std::to_string(layer));
      FakeEngine fake(8192);
      fake.start();
      const GenerationRequest request = look_request(num_answer, layer);
      const auto stream = fake.engine->submit(request);
      expect_look(*stream, request);
      EXPECT_EQ(stream->usage().prompt_tokens, 90);
      EXPECT_EQ(stream->usage().completion_tokens, num_answer);
      // The last token is looked for, not computed.
      EXPECT_EQ(fake.runner->num_tokens, 90 + num_answer - 1);
    }
  }
}

TEST(EngineLook, ChunksPagesAndCachesChangeNothing) {
  const GenerationRequest request = look_request(50);
  for (const int32_t chunk : {1, 7, 16, 1 << 20}) {
    for (const int32_t page_size : {1, 16, 64}) {
      for (const char* cache : {"on", "off"}) {
        SCOPED_TRACE(std::to_string(chunk) + ", page " + std::to_string(page_size) + ", " + cache);
        FakeEngine fake(8192, page_size);
        fake.config.scheduler.chunked_prefill_size = chunk;
        fake.config.scheduler.max_batched_tokens = std::max(chunk, 64);
        fake.config.scheduler.prefix_cache = cache;
        fake.start();
        // The second time all of it has been computed before.
        for (int i = 0; i < 2; ++i) expect_look(*fake.engine->submit(request), request);
      }
    }
  }
}

TEST(EngineLook, AnswersBesideItAreTheSame) {
  // With room for all, and for two or three, until some have been pushed back (whether they are
  // hangs on when they come).
  for (const int32_t num_tokens : {65536, 400}) {
    SCOPED_TRACE(num_tokens);
    int64_t num_preemptions = 0;
    for (uint64_t seed = 1; seed <= 10 || (num_tokens == 400 && num_preemptions == 0); ++seed) {
      ASSERT_LT(seed, 200u) << "nothing was ever pushed back";
      SCOPED_TRACE("seed " + std::to_string(seed));
      FakeEngine fake(num_tokens, 8);
      fake.start();
      Generator random(seed);
      fake.engine->wait_until_idle();
      // Nothing runs until all have come, so that they do compete for the pages.
      std::latch all_submitted(1);
      fake.runner->on_run = [&](const StepPlan&) { all_submitted.wait(); };
      std::vector<GenerationRequest> requests;
      std::vector<std::shared_ptr<AnswerStream>> streams;
      for (int i = 0; i < 20; ++i) {
        requests.push_back(i % 2 == 0 ? look_request(1 + 5 * i, i % 3 == 0 ? 1 : model::kAllLayers)
                                      : random_request(random, kPictureTokens, 6, 60));
        if (i % 2 > 0) {
          requests.back().params.max_new_tokens = 80;
          requests.back().params.end_ids = {};
        }
        streams.push_back(fake.engine->submit(requests.back()));
      }
      all_submitted.count_down();
      for (std::size_t i = 0; i < requests.size(); ++i) {
        SCOPED_TRACE("request " + std::to_string(i));
        if (requests[i].look) {
          expect_look(*streams[i], requests[i]);
        } else {
          const FakeAnswer expected = answer_alone(requests[i]);
          const FakeAnswer found = read_all(*streams[i]).front();
          EXPECT_EQ(found.ids, expected.ids);
          EXPECT_EQ(found.logprobs, expected.logprobs);
        }
      }
      fake.engine->wait_until_idle();
      EXPECT_EQ(fake.engine->stats().pages_used, 0);
      num_preemptions += fake.engine->stats().scheduler.preemptions;
    }
  }
}

TEST(EngineLook, CancellationEndsIt) {
  FakeEngine fake(8192);
  fake.start();
  const auto stream = fake.engine->submit(look_request(200));
  stream->cancel();
  const Look look = read_look(*stream);
  EXPECT_EQ(look.finish_reason, FinishReason::kCancelled);
  EXPECT_EQ(look.maps.size(), look.ids.size() * 2 * kPictureTokens);
  fake.engine->wait_until_idle();
  EXPECT_EQ(fake.engine->stats().pages_used, 0);
}

TEST(EngineLook, RefusesWhatCannotBe) {
  FakeEngine fake(8192);
  fake.start();
  const auto refusal = [&](auto change) {
    GenerationRequest request = look_request(4);
    change(request);
    try {
      fake.engine->submit(request);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      return std::string(error.what());
    }
    return std::string("taken");
  };
  EXPECT_THAT(refusal([](GenerationRequest& r) { r.look->layer = 4; }),
              HasSubstr("layer is 4, but the model has the layers 0 to 3"));
  EXPECT_THAT(refusal([](GenerationRequest& r) { r.look->layer = -2; }), HasSubstr("layer is -2"));
  EXPECT_THAT(refusal([](GenerationRequest& r) { r.look->answer.clear(); }), HasSubstr("empty"));
  EXPECT_THAT(refusal([](GenerationRequest& r) { r.look->answer[2] = kFakeVocabulary; }),
              HasSubstr("outside the vocabulary"));
  EXPECT_THAT(refusal([](GenerationRequest& r) {
                r.prompt.images.clear();
                r.images.clear();
              }),
              HasSubstr("shows no picture"));
  EXPECT_THAT(refusal([](GenerationRequest& r) { r.look->answer.assign(8200, 1); }),
              HasSubstr("prompt and answer have 8289 tokens, but the KV cache holds 8192"));
  FakeEngine large(65536);
  large.start();
  GenerationRequest request = look_request((1 << 20) / 32 + 1);
  try {
    large.engine->submit(request);
    ADD_FAILURE() << "a map of too many numbers was taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("ask for at most 32768 tokens at a time"));
  }
}

// Weights that are not numbers make attention that is none.
TEST(EngineLook, NumbersThatAreNoneFailOnlyTheirRequest) {
  FakeEngine fake(8192);
  fake.start();
  fake.runner->spoils_look = [](std::span<const Symbol> prefix) {
    return prefix.back().value == 501;
  };
  GenerationRequest bad = look_request(40);
  bad.look->answer[20] = 501;
  const GenerationRequest good = look_request(39);
  const auto failing = fake.engine->submit(bad);
  const auto stream = fake.engine->submit(good);
  try {
    read_look(*failing);
    ADD_FAILURE() << "the bad request succeeded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
    EXPECT_THAT(error.what(), HasSubstr("attention for token 22 of the answer is not a number"));
  }
  expect_look(*stream, good);
  fake.engine->wait_until_idle();
  EXPECT_EQ(fake.engine->stats().pages_used, 0);
}

}  // namespace
}  // namespace llava::engine
