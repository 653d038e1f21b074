// SPDX-License-Identifier: Apache-2.0
//
// The engine with the fake runner: whatever is batched, cut, cached, preempted or cancelled, every
// request gets the answer it would get alone.
#include "llava/engine/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <limits>
#include <thread>

#include "fake_engine.h"
#include "llava/text/grammar/output_format.h"

namespace llava::engine {
namespace {

constexpr int32_t kPictureTokens = 16;

class EngineTest : public ::testing::Test {
 protected:
  static constexpr int32_t kNumPictures = 6;

  std::vector<GenerationRequest> random_requests(uint64_t seed, int count,
                                                 int32_t max_prompt = 200) {
    Generator random(seed);
    std::vector<GenerationRequest> requests;
    for (int i = 0; i < count; ++i) {
      requests.push_back(random_request(random, kPictureTokens, kNumPictures, max_prompt));
    }
    return requests;
  }

  void expect_answer(const FakeAnswer& answer, const GenerationRequest& request,
                     int32_t choice = 0) {
    const FakeAnswer expected = answer_alone(request, choice);
    EXPECT_EQ(answer.ids, expected.ids);
    EXPECT_EQ(answer.logprobs, expected.logprobs);
    EXPECT_EQ(answer.finish_reason, expected.finish_reason);
  }

  // Submits all from several threads and compares every answer.
  void expect_all(Engine& engine, const std::vector<GenerationRequest>& requests) {
    std::vector<std::vector<FakeAnswer>> answers(requests.size());
    std::vector<std::jthread> threads;
    constexpr std::size_t kThreads = 4;
    for (std::size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::vector<std::pair<std::size_t, std::shared_ptr<AnswerStream>>> streams;
        for (std::size_t i = t; i < requests.size(); i += kThreads) {
          streams.emplace_back(i, engine.submit(requests[i]));
          if (i % 3 == 0) std::this_thread::yield();
        }
        for (auto& [i, stream] : streams) answers[i] = read_all(*stream);
      });
    }
    threads.clear();
    for (std::size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE("request " + std::to_string(i));
      expect_answer(answers[i].front(), requests[i]);
    }
  }
};

// E1
TEST_F(EngineTest, BatchesGiveWhatEachRequestGetsAlone) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    FakeEngine fake(65536);
    fake.start();
    expect_all(*fake.engine, random_requests(seed, 64));
  }
}

TEST_F(EngineTest, ReplicasGiveWhatEachRequestGetsAlone) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    FakeEngine fake(65536);
    fake.num_replicas = 3;
    fake.start();
    std::atomic<int64_t> num_watched{0};
    fake.engine->watch_steps([&](const StepRecord& step) { num_watched += step.num_new_tokens; });
    const std::vector<GenerationRequest> requests = random_requests(seed, 64);
    expect_all(*fake.engine, requests);
    fake.engine->wait_until_idle();
    fake.engine->watch_steps({});
    const EngineStats stats = fake.engine->stats();
    EXPECT_EQ(stats.received, 64);
    EXPECT_EQ(stats.finished, 64);
    EXPECT_EQ(stats.num_running + stats.num_waiting + stats.pages_used, 0);
    EXPECT_EQ(stats.pages_total, 3 * fake.num_pages);
    EXPECT_EQ(stats.generated_tokens, num_watched);
  }
}

// Whatever is asked about a picture afterwards finds what the first question has computed.
TEST_F(EngineTest, ReplicasCacheTogetherWhatOneWould) {
  const auto ask = [](int32_t picture, int32_t text) {
    std::vector<int32_t> ids(64, text);
    std::fill_n(ids.begin(), 16, 7);
    return fake_request(std::move(ids), {{picture, 16}}, kPictureTokens, 4);
  };
  FakeEngine fake(65536);
  fake.num_replicas = 2;
  fake.start();
  for (int32_t picture = 0; picture < kNumPictures; ++picture) {
    read_all(*fake.engine->submit(ask(picture, 1)));
  }
  for (int32_t text = 2; text < 5; ++text) {
    for (int32_t picture = 0; picture < kNumPictures; ++picture) {
      EXPECT_GE(read_all(*fake.engine->submit(ask(picture, text))).front().usage.cached_tokens, 32);
    }
  }
  EXPECT_EQ(fake.engine->stats().scheduler.encoded_images, kNumPictures);
}

TEST_F(EngineTest, ReplicasShareTheQueue) {
  FakeEngine fake(65536);
  fake.num_replicas = 2;
  fake.config.max_queued_requests = 6;
  fake.config.scheduler.max_running_requests = 1;
  fake.start();
  std::vector<std::shared_ptr<AnswerStream>> streams;
  int num_refused = 0;
  for (int i = 0; i < 64; ++i) {
    try {
      streams.push_back(
          fake.engine->submit(fake_request(std::vector<int32_t>(100, 5), {}, kPictureTokens, 100)));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
      ++num_refused;
    }
  }
  EXPECT_GE(streams.size(), 6u);
  EXPECT_GT(num_refused, 0);
  for (const auto& stream : streams) read_all(*stream);
  const EngineStats stats = fake.engine->stats();
  EXPECT_EQ(stats.rejected, num_refused);
}

// E3: S is the number of positions of one picture.
TEST_F(EngineTest, ChunkSizeChangesNothing) {
  for (const int32_t chunk : {1, 7, 16, kPictureTokens - 1, kPictureTokens + 1, 1 << 20}) {
    SCOPED_TRACE("chunk " + std::to_string(chunk));
    FakeEngine fake(65536);
    fake.config.scheduler.chunked_prefill_size = chunk;
    fake.config.scheduler.max_batched_tokens = std::max(chunk, 64);
    fake.start();
    expect_all(*fake.engine, random_requests(77, 24));
  }
}

// E4
TEST_F(EngineTest, CacheAndPageSizeChangeNothing) {
  for (const bool has_cache : {true, false}) {
    for (const int32_t page_size : {1, 8, 16, 64}) {
      SCOPED_TRACE("page size " + std::to_string(page_size));
      FakeEngine fake(65536, page_size);
      fake.config.scheduler.prefix_cache = has_cache ? "on" : "off";
      fake.start();
      expect_all(*fake.engine, random_requests(78, 24));
    }
  }
}

// E5
TEST_F(EngineTest, CachedTokensAreTheFullPagesOfTheCommonPrefix) {
  for (const int32_t page_size : {1, 8, 16, 64}) {
    FakeEngine fake(65536, page_size);
    fake.start();
    std::vector<int32_t> ids(150);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i + 1);
    const auto cached = [&](const std::vector<int32_t>& prompt) {
      return read_all(*fake.engine->submit(fake_request(prompt, {}, 0, 1)))
          .front()
          .usage.cached_tokens;
    };
    EXPECT_EQ(cached(ids), 0);
    EXPECT_EQ(cached(ids), 149 / page_size * page_size);
    std::vector<int32_t> other = ids;
    other[100] = 400;
    EXPECT_EQ(cached(other), 100 / page_size * page_size);
    std::vector<int32_t> longer = ids;
    longer.push_back(3);
    longer.push_back(4);
    EXPECT_EQ(cached(longer), 150 / page_size * page_size);
    fake.engine->wait_until_idle();
    EXPECT_EQ(
        fake.engine->stats().scheduler.cached_tokens,
        149 / page_size * page_size + 100 / page_size * page_size + 150 / page_size * page_size);
  }
}

TEST_F(EngineTest, SaltsDoNotShareCaches) {
  FakeEngine fake(4096);
  fake.start();
  GenerationRequest request = fake_request(std::vector<int32_t>(64, 3), {}, 0, 1);
  read_all(*fake.engine->submit(request));
  request.cache_salt = "other";
  EXPECT_EQ(read_all(*fake.engine->submit(request)).front().usage.cached_tokens, 0);
}

TEST_F(EngineTest, EncodesAPictureOnce) {
  FakeEngine fake(4096);
  fake.start();
  for (int32_t question = 1; question < 5; ++question) {
    std::vector<int32_t> ids(40, question);
    read_all(*fake.engine->submit(fake_request(ids, {{1, 4}}, kPictureTokens, 2)));
  }
  fake.engine->wait_until_idle();
  EXPECT_EQ(fake.runner->num_encoded, 1);
}

// E8: room for two and a half requests.
TEST_F(EngineTest, PreemptionChangesNothing) {
  int64_t num_preemptions = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    FakeEngine fake(400, 8);
    fake.encoder_cache_bytes = 3 * kPictureTokens;
    fake.start();
    Generator random(seed);
    std::vector<GenerationRequest> requests;
    for (int i = 0; i < 16; ++i) {
      GenerationRequest request = random_request(random, kPictureTokens, kNumPictures, 60);
      request.params.max_new_tokens = 80;
      request.params.end_ids = {};
      requests.push_back(std::move(request));
    }
    fake.engine->wait_until_idle();
    // Nothing runs until all have come, so that they do compete for the pages.
    std::latch all_submitted(1);
    fake.runner->on_run = [&](const StepPlan&) { all_submitted.wait(); };
    std::vector<std::shared_ptr<AnswerStream>> streams;
    for (const GenerationRequest& request : requests) {
      streams.push_back(fake.engine->submit(request));
    }
    all_submitted.count_down();
    for (std::size_t i = 0; i < requests.size(); ++i) {
      expect_answer(read_all(*streams[i]).front(), requests[i]);
    }
    fake.engine->wait_until_idle();
    const SchedulerStats stats = fake.engine->stats().scheduler;
    EXPECT_LE(stats.preemptions, 8 * 16);
    num_preemptions += stats.preemptions;
  }
  EXPECT_GT(num_preemptions, 0);
}

// E10
TEST_F(EngineTest, ChoicesShareThePrefillAndEqualSingleRuns) {
  FakeEngine fake(8192);
  fake.start();
  fake.engine->wait_until_idle();
  for (const float temperature : {0.0f, 0.9f}) {
    const int64_t before = fake.runner->num_tokens;
    GenerationRequest request = fake_request(std::vector<int32_t>(100, temperature > 0 ? 7 : 8),
                                             {{2, 10}}, kPictureTokens, 12);
    request.params.sampling.temperature = temperature;
    request.params.sampling.seed = 99;
    request.params.end_ids = {};
    request.num_choices = 8;
    const auto answers = read_all(*fake.engine->submit(request), 8);
    for (int32_t choice = 0; choice < 8; ++choice) {
      SCOPED_TRACE("choice " + std::to_string(choice));
      expect_answer(answers[static_cast<std::size_t>(choice)], request, choice);
    }
    // The prompt once, and every token but the last of each choice.
    fake.engine->wait_until_idle();
    EXPECT_EQ(fake.runner->num_tokens - before, 100 + 8 * 11);
  }
}

TEST_F(EngineTest, SpeculationChangesNothing) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    FakeEngine fake(65536);
    fake.config.max_draft_tokens = 6;
    fake.start();
    expect_all(*fake.engine, random_requests(seed, 32));
  }
}

// Answers that repeat themselves, so that drafts are right, with room for two and a half requests
// and chunks that end between two drafts.
TEST_F(EngineTest, SpeculationOutlivesPreemption) {
  int64_t num_preemptions = 0;
  int64_t num_accepted = 0;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto answers_with = [&](int32_t max_draft_tokens, int32_t num_tokens) {
      FakeEngine fake(num_tokens, 8);
      fake.config.max_draft_tokens = max_draft_tokens;
      fake.config.scheduler.chunked_prefill_size = 5;
      fake.start();
      fake.runner->rule = [](std::span<const Symbol> prefix, std::span<float> row) {
        const std::size_t place = prefix.size() % 11;
        hash_logits(place * 7 + 3, row);
        // Now and then something new.
        if (prefix.size() % 37 == 0) row[static_cast<std::size_t>(prefix[0].value)] = 20.0f;
      };
      std::latch all_submitted(1);
      fake.runner->on_run = [&](const StepPlan&) { all_submitted.wait(); };
      Generator random(seed);
      std::vector<std::shared_ptr<AnswerStream>> streams;
      for (int i = 0; i < 20; ++i) {
        // Short answers first: more is admitted than fits when the long ones grow.
        GenerationRequest request = fake_request(
            std::vector<int32_t>(3 + random.below(40), 100 + i % 3), {}, 0, i < 8 ? 8 : 120);
        request.params.end_ids = {};
        request.params.sampling.temperature = i % 2 == 0 ? 0.0f : 0.3f;
        request.params.sampling.seed = seed + static_cast<uint64_t>(i);
        streams.push_back(fake.engine->submit(std::move(request)));
      }
      all_submitted.count_down();
      std::vector<FakeAnswer> answers;
      for (const auto& stream : streams) answers.push_back(read_all(*stream).front());
      fake.engine->wait_until_idle();
      num_preemptions += fake.engine->stats().scheduler.preemptions;
      num_accepted += fake.engine->stats().accepted_tokens;
      return answers;
    };
    const auto expected = answers_with(0, 65536);
    const auto answers = answers_with(6, 304);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      EXPECT_EQ(answers[i].ids, expected[i].ids);
      EXPECT_EQ(answers[i].logprobs, expected[i].logprobs);
    }
  }
  EXPECT_GT(num_preemptions, 20);
  EXPECT_GT(num_accepted, 1000);
}

// A grammar of token texts ("7 "), with drafts and company: every answer is one of the choices.
TEST_F(EngineTest, AnswersKeepToTheirGrammar) {
  FakeEngine fake(8192);
  fake.config.max_draft_tokens = 3;
  fake.start();
  using text::grammar::OutputFormat;
  const OutputFormat format{
      .kind = OutputFormat::Kind::kChoice, .text = {}, .choices = {"17 4 ", "17 5 6 ", "300 "}};
  const auto vocabulary = std::make_shared<const text::grammar::Vocabulary>(
      fake.tokenizer, std::vector<int32_t>{0}, kFakeVocabulary);
  const auto grammar =
      std::make_shared<text::grammar::Grammar>(text::grammar::syntax_of(format), vocabulary);
  std::vector<std::shared_ptr<AnswerStream>> streams;
  for (int32_t i = 0; i < 20; ++i) {
    GenerationRequest request = fake_request({i + 1, 17, 4, 17, 5, 17}, {}, 0, 10);
    request.params.sampling.temperature = 1.0f;
    request.params.sampling.seed = static_cast<uint64_t>(i);
    request.grammar = grammar;
    streams.push_back(fake.engine->submit(std::move(request)));
  }
  for (const auto& stream : streams) {
    const FakeAnswer answer = read_all(*stream).front();
    EXPECT_EQ(answer.finish_reason, FinishReason::kEndToken);
    EXPECT_EQ(answer.ids.back(), 0);
    EXPECT_THAT(answer.text, testing::AnyOf("17 4 0 ", "17 5 6 0 ", "300 0 "));
  }
  GenerationRequest beams = fake_request({1}, {}, 0, 4);
  beams.params.num_beams = 2;
  beams.grammar = grammar;
  EXPECT_THROW(fake.engine->submit(std::move(beams)), Error);
}

TEST_F(EngineTest, ScoresAnswersFromOnePrefill) {
  FakeEngine fake(8192);
  fake.start();
  fake.engine->wait_until_idle();
  const int64_t before = fake.runner->num_tokens;
  GenerationRequest request =
      fake_request(std::vector<int32_t>(50, 9), {{3, 4}}, kPictureTokens, 6);
  request.params.end_ids = {};
  const FakeAnswer own = answer_alone(request);
  std::vector<int32_t> other = own.ids;
  other[2] = (other[2] + 1) % kFakeVocabulary;
  request.scored_answers = {own.ids, other, {own.ids[0]}};
  const auto answers = read_all(*fake.engine->submit(request), 3);
  EXPECT_EQ(answers[0].ids, own.ids);
  EXPECT_EQ(answers[0].logprobs, own.logprobs);
  EXPECT_EQ(answers[1].ids, other);
  EXPECT_EQ(answers[1].logprobs[1], own.logprobs[1]);
  EXPECT_LT(answers[1].logprobs[2], own.logprobs[2]);
  EXPECT_EQ(answers[2].logprobs, std::vector<float>{own.logprobs[0]});
  fake.engine->wait_until_idle();
  EXPECT_EQ(fake.runner->num_tokens - before, 50 + 5 + 5);
}

TEST_F(EngineTest, BeamsGiveTheSameAnswerAloneAndInCompany) {
  GenerationRequest request = fake_request(std::vector<int32_t>(30, 4), {}, 0, 20);
  request.params.num_beams = 4;
  FakeEngine alone(8192);
  alone.start();
  const FakeAnswer expected = read_all(*alone.engine->submit(request)).front();
  EXPECT_FALSE(expected.ids.empty());
  // Too little room for all: beams are preempted as well.
  FakeEngine crowded(320, 8);
  crowded.start();
  std::vector<std::shared_ptr<AnswerStream>> streams;
  for (int i = 0; i < 5; ++i) streams.push_back(crowded.engine->submit(request));
  for (const auto& stream : streams) EXPECT_EQ(read_all(*stream).front().ids, expected.ids);
}

// E14, the engine's part
TEST_F(EngineTest, CancelledRequestsLeaveNothingBehind) {
  FakeEngine fake(4096);
  fake.start();
  Generator random(5);
  constexpr int kRequests = 2000;
  int64_t num_ended = 0;
  for (int round = 0; round < kRequests / 20; ++round) {
    std::vector<std::shared_ptr<AnswerStream>> streams;
    for (int i = 0; i < 20; ++i) {
      GenerationRequest request = random_request(random, kPictureTokens, kNumPictures, 100);
      request.params.end_ids = {};
      request.params.max_new_tokens = 40;
      if (i % 7 == 0) request.num_choices = 3;
      if (i % 11 == 1) request.params.num_beams = 3;
      streams.push_back(fake.engine->submit(request));
      if (random.below(4) == 0) streams.back()->cancel();
    }
    for (const auto& stream : streams) {
      if (random.below(2) == 0) stream->next();
      if (random.below(2) == 0) stream->cancel();
    }
    for (const auto& stream : streams) {
      read_all(*stream, 3);
      ++num_ended;
    }
  }
  fake.engine->wait_until_idle();
  const EngineStats stats = fake.engine->stats();
  EXPECT_EQ(num_ended, kRequests);
  EXPECT_EQ(stats.received, kRequests);
  EXPECT_EQ(stats.finished + stats.aborted + stats.rejected + stats.failed, kRequests);
  EXPECT_EQ(stats.pages_used, 0);
  EXPECT_EQ(stats.num_running, 0);
  EXPECT_EQ(stats.num_waiting, 0);
}

// E15, the engine's part: the unread text of a reader who is away ends only his own request.
TEST_F(EngineTest, SlowReadersAreEndedAndOthersAreNot) {
  FakeEngine fake(8192);
  fake.config.max_unread_kb = 8;
  fake.start();
  GenerationRequest request = fake_request({1, 2, 3}, {}, 0, 4000);
  request.params.end_ids = {};
  const auto slow = fake.engine->submit(request);
  GenerationRequest quick = fake_request({4, 5, 6}, {}, 0, 1000);
  quick.params.end_ids = {};
  const auto stream = fake.engine->submit(quick);
  expect_answer(read_all(*stream).front(), quick);
  fake.engine->wait_until_idle();
  EXPECT_THROW(
      {
        while (slow->next()) {
        }
      },
      Error);
  EXPECT_EQ(fake.engine->stats().pages_used, 0);
}

// A reader in this process that was stopped finds its whole answer.
TEST_F(EngineTest, LateReadersAreNotEndedWithoutABound) {
  FakeEngine fake(8192);
  EXPECT_EQ(fake.config.max_unread_kb, 0);
  EXPECT_EQ(fake.config.max_unread_ms, 0);
  fake.start();
  const GenerationRequest request = fake_request({1, 2, 3}, {}, 0, 1000);
  const auto stream = fake.engine->submit(request);
  fake.engine->wait_until_idle();
  expect_answer(read_all(*stream).front(), request);
}

TEST_F(EngineTest, AStepThatHangsIsSeenAndSoIsWhatWaits) {
  FakeEngine fake(4096);
  fake.start();
  fake.engine->wait_until_idle();
  EXPECT_EQ(fake.engine->silent_seconds(), 0);
  std::latch is_held{1};
  std::latch may_go_on{1};
  std::atomic<bool> is_first{true};
  fake.engine->watch_steps([&](const StepRecord&) {
    if (!is_first.exchange(false)) return;
    is_held.count_down();
    may_go_on.wait();
  });
  const GenerationRequest request = fake_request({1, 2, 3}, {}, 0, 4);
  const auto first = fake.engine->submit(request);
  is_held.wait();
  while (fake.engine->silent_seconds() < 0.02) {
  }
  EXPECT_EQ(fake.engine->stats().queued_tokens, 0);
  const auto second = fake.engine->submit(request);
  EXPECT_EQ(fake.engine->stats().queued_tokens, 3);
  may_go_on.count_down();
  read_all(*first);
  read_all(*second);
  fake.engine->wait_until_idle();
  EXPECT_EQ(fake.engine->silent_seconds(), 0);
  EXPECT_EQ(fake.engine->stats().queued_tokens, 0);
  fake.engine->watch_steps({});
}

TEST_F(EngineTest, AFullQueueRefuses) {
  FakeEngine fake(4096);
  fake.config.max_queued_requests = 2;
  fake.config.scheduler.max_running_requests = 1;
  fake.start();
  GenerationRequest request = fake_request({1, 2, 3}, {}, 0, 3000);
  request.params.end_ids = {};
  std::vector<std::shared_ptr<AnswerStream>> streams;
  int num_refused = 0;
  for (int i = 0; i < 6; ++i) {
    try {
      streams.push_back(fake.engine->submit(request));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
      ++num_refused;
    }
  }
  EXPECT_GT(num_refused, 0);
  for (const auto& stream : streams) stream->cancel();
  for (const auto& stream : streams) read_all(*stream);
}

TEST_F(EngineTest, ARequestAloneThatDoesNotFitEndsWithLength) {
  FakeEngine fake(64, 16);
  fake.start();
  GenerationRequest request = fake_request(std::vector<int32_t>(50, 2), {}, 0, 100);
  request.params.end_ids = {};
  const FakeAnswer answer = read_all(*fake.engine->submit(request)).front();
  EXPECT_EQ(answer.finish_reason, FinishReason::kLength);
  EXPECT_EQ(answer.ids.size(), 15u);
  const FakeAnswer expected = answer_alone(request);
  EXPECT_TRUE(std::equal(answer.ids.begin(), answer.ids.end(), expected.ids.begin()));
  EXPECT_THROW(fake.engine->submit(fake_request(std::vector<int32_t>(65, 2), {}, 0, 1)), Error);
}

TEST_F(EngineTest, AFailingStepFailsOnlyTheRequestAtFault) {
  FakeEngine fake(8192);
  fake.start();
  fake.runner->on_run = [](const StepPlan& plan) {
    for (const StepItem& item : plan.items) {
      for (const Symbol& symbol : item.symbols) {
        if (symbol.image == 0 && symbol.value == 13) throw std::bad_alloc();
      }
    }
  };
  GenerationRequest good = fake_request(std::vector<int32_t>(40, 2), {}, 0, 20);
  good.params.sampling.logit_bias = {{.id = 13, .bias = -100}};
  GenerationRequest bad = fake_request(std::vector<int32_t>(40, 13), {}, 0, 20);
  const auto first = fake.engine->submit(good);
  const auto failing = fake.engine->submit(bad);
  const auto second = fake.engine->submit(good);
  try {
    read_all(*failing);
    ADD_FAILURE() << "the bad request succeeded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
  }
  expect_answer(read_all(*first).front(), good);
  expect_answer(read_all(*second).front(), good);
}

// Weights that are not numbers make logits that are none.
TEST_F(EngineTest, ScoresThatAreNoNumbersFailOnlyTheirRequest) {
  FakeEngine fake(8192);
  fake.start();
  fake.runner->rule = [](std::span<const Symbol> prefix, std::span<float> row) {
    uint64_t hash = 1;
    for (const Symbol& symbol : prefix) hash = extend_hash(hash, symbol);
    hash_logits(hash, row);
    if (prefix.front().value == 13 && prefix.size() > 45) {
      row[3] = std::numeric_limits<float>::quiet_NaN();
    }
  };
  const GenerationRequest good = fake_request(std::vector<int32_t>(40, 2), {}, 0, 20);
  const GenerationRequest bad = fake_request(std::vector<int32_t>(40, 13), {}, 0, 20);
  const auto first = fake.engine->submit(good);
  const auto failing = fake.engine->submit(bad);
  const auto second = fake.engine->submit(good);
  try {
    read_all(*failing);
    ADD_FAILURE() << "the bad request succeeded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
    EXPECT_NE(std::string(error.what()).find("its weights are damaged"), std::string::npos);
  }
  expect_answer(read_all(*first).front(), good);
  expect_answer(read_all(*second).front(), good);
  fake.engine->wait_until_idle();
  EXPECT_EQ(fake.engine->stats().pages_used, 0);
}

TEST_F(EngineTest, APictureThatCannotBeEncodedFailsItsRequest) {
  FakeEngine fake(8192);
  fake.start();
  fake.engine->wait_until_idle();
  fake.runner->on_encode = [](uint64_t) { throw std::bad_alloc(); };
  const auto failing =
      fake.engine->submit(fake_request(std::vector<int32_t>(40, 2), {{77, 3}}, kPictureTokens, 5));
  EXPECT_THROW(read_all(*failing), Error);
  const GenerationRequest text = fake_request(std::vector<int32_t>(40, 3), {}, 0, 5);
  expect_answer(read_all(*fake.engine->submit(text)).front(), text);
}

TEST_F(EngineTest, StoppingTheEngineEndsItsStreams) {
  FakeEngine fake(8192);
  fake.start();
  GenerationRequest request = fake_request({1, 2, 3}, {}, 0, 5000);
  request.params.end_ids = {};
  const auto stream = fake.engine->submit(request);
  fake.engine.reset();
  EXPECT_THROW(
      {
        while (stream->next()) {
        }
      },
      Error);
}

}  // namespace
}  // namespace llava::engine
