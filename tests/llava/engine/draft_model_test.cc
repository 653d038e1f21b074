// SPDX-License-Identifier: Apache-2.0
//
// A draft model makes answers cheaper and never different: the model alone, then the engine with
// one and without, both on fake runners.
#include "llava/engine/draft_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <latch>
#include <new>
#include <vector>

#include "fake_engine.h"

namespace llava::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int32_t kPageSize = 8;

// A language in which the last two words decide the next one. Pictures are no words.
int32_t next_word(std::span<const Symbol> prefix) {
  uint64_t hash = 1;
  int num_words = 0;
  for (auto symbol = prefix.rbegin(); symbol != prefix.rend() && num_words < 2; ++symbol) {
    if (symbol->image != 0) continue;
    hash = extend_hash(hash, *symbol);
    ++num_words;
  }
  return static_cast<int32_t>(1 + hash % (kFakeVocabulary - 1));
}

// The next word has 86 % of the probability.
void speak(std::span<const Symbol> prefix, std::span<float> row) {
  hash_logits(static_cast<uint64_t>(next_word(prefix)), row);
  row[static_cast<std::size_t>(next_word(prefix))] = 14.0f;
}

// Wrong about every fifth word.
void speak_badly(std::span<const Symbol> prefix, std::span<float> row) {
  const int32_t word = next_word(prefix);
  hash_logits(static_cast<uint64_t>(word), row);
  row[static_cast<std::size_t>(word % 5 == 0 ? word / 5 : word)] = 14.0f;
}

DraftModelConfig draft_config(int32_t num_tokens) {
  DraftModelConfig config;
  config.scheduler.page_size = kPageSize;
  config.num_pages = num_tokens / kPageSize;
  config.num_ids = kFakeVocabulary;
  config.context_length = 1 << 20;
  config.cost_per_token = 0.2;
  return config;
}

struct FakeDraft {
  explicit FakeDraft(const DraftModelConfig& config) {
    auto owned =
        std::make_unique<FakeRunner>(config.num_pages, config.scheduler.page_size, config.num_ids);
    runner = owned.get();
    // Every word is followed by the next number.
    runner->rule = [this](std::span<const Symbol> prefix, std::span<float> row) {
      row[static_cast<std::size_t>(prefix.back().value + 1) % row.size()] = certainty;
    };
    model = std::make_unique<DraftModel>(config, std::move(owned));
  }

  std::vector<int32_t> guesses(DraftSequence& sequence, int32_t count) {
    sequence.want(count);
    model->propose();
    return sequence.take();
  }

  float certainty = 20.0f;
  FakeRunner* runner = nullptr;
  std::unique_ptr<DraftModel> model;
};

TEST(DraftModel, GuessesForAllSequencesInOneBatch) {
  FakeDraft draft(draft_config(1024));
  DraftSequence first(*draft.model, 1, std::vector<int32_t>{1, 2, 3});
  DraftSequence second(*draft.model, 2, std::vector<int32_t>{40, 41});
  first.want(3);
  second.want(2);
  draft.model->propose();
  EXPECT_THAT(first.take(), ElementsAre(4, 5, 6));
  EXPECT_THAT(second.take(), ElementsAre(42, 43));
  EXPECT_THAT(second.take(), IsEmpty());
  EXPECT_EQ(draft.runner->num_steps, 3);
  // Nobody asks: nothing is computed.
  draft.model->propose();
  EXPECT_EQ(draft.runner->num_steps, 3);
}

TEST(DraftModel, GoesOnFromWhatWasAccepted) {
  FakeDraft draft(draft_config(1024));
  DraftSequence sequence(*draft.model, 1, std::vector<int32_t>{1, 2, 3});
  EXPECT_THAT(draft.guesses(sequence, 3), ElementsAre(4, 5, 6));
  const int64_t before = draft.runner->num_tokens;
  for (const int32_t id : {4, 5, 6, 7}) sequence.append(id);  // all of them, and one more
  EXPECT_THAT(draft.guesses(sequence, 2), ElementsAre(8, 9));
  EXPECT_EQ(draft.runner->num_tokens - before, 3);  // 6, 7 and 8
  sequence.append(100);                             // none of them
  EXPECT_THAT(draft.guesses(sequence, 2), ElementsAre(101, 102));
  // A sequence that was not asked about for a while.
  for (const int32_t id : {101, 50, 51, 52}) sequence.append(id);
  EXPECT_THAT(draft.guesses(sequence, 1), ElementsAre(53));
}

TEST(DraftModel, DoesNotGuessWhatIsUnlikely) {
  FakeDraft draft(draft_config(1024));
  draft.certainty = 0.0f;
  DraftSequence sequence(*draft.model, 1, std::vector<int32_t>{1, 2, 3});
  EXPECT_THAT(draft.guesses(sequence, 3), IsEmpty());
  // Each guess has 1/2; two together cost more than they are worth.
  draft.certainty = std::log(static_cast<float>(kFakeVocabulary) - 1);
  sequence.append(7);
  EXPECT_THAT(draft.guesses(sequence, 8), ElementsAre(8, 9));
}

TEST(DraftModel, CatchesUpWithALongPromptInChunks) {
  DraftModelConfig config = draft_config(1024);
  config.scheduler.chunked_prefill_size = 10;
  FakeDraft draft(config);
  DraftSequence sequence(*draft.model, 1, std::vector<int32_t>(35, 9));
  for (int call = 0; call < 3; ++call) {
    EXPECT_THAT(draft.guesses(sequence, 2), IsEmpty());
    sequence.append(20 + call);
  }
  // The prompt's last chunk, and the answer behind it.
  EXPECT_THAT(draft.guesses(sequence, 2), ElementsAre(23, 24));
  EXPECT_EQ(draft.runner->num_tokens, 35 + 3 + 1);
}

TEST(DraftModel, SeesOnlyWhatItsVocabularyHas) {
  DraftModelConfig config = draft_config(1024);
  config.num_ids = 100;
  FakeDraft draft(config);
  DraftSequence sequence(*draft.model, 1, std::vector<int32_t>{5, -1, -1, -1, 300, 6});
  EXPECT_THAT(draft.guesses(sequence, 2), ElementsAre(7, 8));
  EXPECT_EQ(draft.runner->num_tokens, 3);  // 5, 6 and 7
  sequence.append(400);
  EXPECT_THAT(draft.guesses(sequence, 2), IsEmpty());
  sequence.append(7);
  EXPECT_THAT(draft.guesses(sequence, 1), ElementsAre(8));
  DraftSequence picture(*draft.model, 1, std::vector<int32_t>{-1, -1});
  EXPECT_THAT(draft.guesses(picture, 2), IsEmpty());
}

TEST(DraftModel, StopsAtTheEndOfItsContextAndOfItsPages) {
  DraftModelConfig config = draft_config(1024);
  config.context_length = 12;
  FakeDraft draft(config);
  DraftSequence sequence(*draft.model, 1, std::vector<int32_t>(9, 3));
  EXPECT_THAT(draft.guesses(sequence, 8), ElementsAre(4, 5, 6));
  for (const int32_t id : {4, 5, 6, 7}) sequence.append(id);
  EXPECT_THAT(draft.guesses(sequence, 8), IsEmpty());
  EXPECT_EQ(draft.model->num_sequences(), 0);
  FakeDraft small(draft_config(16));
  DraftSequence longer(*small.model, 1, std::vector<int32_t>(17, 3));
  EXPECT_THAT(small.guesses(longer, 2), IsEmpty());
  DraftSequence growing(*small.model, 2, std::vector<int32_t>(14, 3));
  for (int i = 0; i < 6; ++i) {
    small.guesses(growing, 4);
    growing.append(3);
  }
  EXPECT_EQ(small.model->num_sequences(), 0);
}

TEST(DraftModel, SequencesLeaveNothingBehindAndShareTheirPrompt) {
  FakeDraft draft(draft_config(1024));
  {
    std::vector<DraftSequence> sequences;
    for (int i = 0; i < 4; ++i) {
      sequences.emplace_back(*draft.model, 7, std::vector<int32_t>(64, 5));
      sequences.back().append(60 + i);
    }
    for (int call = 0; call < 5; ++call) {
      for (DraftSequence& sequence : sequences) sequence.want(1);
      draft.model->propose();
    }
    EXPECT_EQ(draft.model->num_sequences(), 4);
    EXPECT_LE(draft.runner->num_tokens, 65 + 3 * 1 + 16);
  }
  EXPECT_EQ(draft.model->num_sequences(), 0);
}

TEST(DraftModel, AFailureCostsGuessesOnly) {
  FakeDraft draft(draft_config(1024));
  DraftSequence sequence(*draft.model, 1, std::vector<int32_t>{1, 2, 3});
  draft.runner->on_run = [](const StepPlan&) { throw std::bad_alloc(); };
  EXPECT_THAT(draft.guesses(sequence, 3), IsEmpty());
  draft.runner->on_run = nullptr;
  EXPECT_THAT(draft.guesses(sequence, 3), IsEmpty());
  DraftSequence next(*draft.model, 2, std::vector<int32_t>{1, 2, 3});
  EXPECT_THAT(draft.guesses(next, 1), ElementsAre(4));
}

// --- With the engine ------------------------------------------------------------------------

struct Answered {
  std::vector<FakeAnswer> answers;
  EngineStats stats;
};

struct Setting {
  int32_t target_tokens = 65536;
  int32_t draft_tokens = 0;  ///< 0: no draft model
  int32_t chunk = 1024;
  bool is_own_draft = false;
};

std::vector<GenerationRequest> questions(uint64_t seed, bool has_pictures) {
  Generator random(seed);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < 16; ++i) {
    GenerationRequest request = random_request(random, 16, has_pictures ? 4 : 1, 60);
    if (!has_pictures) {
      request.images.clear();
      request.prompt.images.clear();
    }
    request.params.end_ids = {};
    // Short answers first: more is admitted than fits when the long ones grow.
    request.params.max_new_tokens = i < 6 ? 8 : 90;
    if (i % 5 == 4) request.num_choices = 3;
    requests.push_back(std::move(request));
  }
  return requests;
}

Answered answer(const std::vector<GenerationRequest>& requests, const Setting& setting) {
  FakeEngine fake(setting.target_tokens, kPageSize);
  fake.config.scheduler.chunked_prefill_size = setting.chunk;
  if (setting.draft_tokens > 0) {
    fake.config.max_draft_tokens = 5;
    fake.draft = draft_config(setting.draft_tokens);
    fake.draft.scheduler.chunked_prefill_size = setting.chunk;
  }
  fake.start();
  fake.runner->rule = speak;
  if (fake.draft_runner != nullptr)
    fake.draft_runner->rule = setting.is_own_draft ? speak : speak_badly;
  std::latch all_submitted(1);
  fake.runner->on_run = [&](const StepPlan&) { all_submitted.wait(); };
  std::vector<std::shared_ptr<AnswerStream>> streams;
  for (const GenerationRequest& request : requests) streams.push_back(fake.engine->submit(request));
  all_submitted.count_down();
  Answered run;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    for (FakeAnswer& choice : read_all(*streams[i], requests[i].num_choices)) {
      run.answers.push_back(std::move(choice));
    }
  }
  fake.engine->wait_until_idle();
  run.stats = fake.engine->stats();
  EXPECT_EQ(run.stats.pages_used, 0);
  return run;
}

// Batches, chunks, pictures, several choices, and too few pages for the model, the draft model or
// both.
TEST(EngineWithDraftModel, AnswersAreThoseWithout) {
  int64_t num_preemptions = 0;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto requests = questions(seed, /*has_pictures=*/true);
    const Answered expected = answer(requests, {});
    for (const Setting& setting :
         {Setting{.draft_tokens = 65536}, Setting{.draft_tokens = 65536, .chunk = 7},
          Setting{.target_tokens = 400, .draft_tokens = 65536, .chunk = 11},
          Setting{.draft_tokens = 400}, Setting{.target_tokens = 400, .draft_tokens = 400}}) {
      const Answered run = answer(requests, setting);
      for (std::size_t i = 0; i < expected.answers.size(); ++i) {
        EXPECT_EQ(run.answers[i].ids, expected.answers[i].ids);
        EXPECT_EQ(run.answers[i].logprobs, expected.answers[i].logprobs);
        EXPECT_EQ(run.answers[i].text, expected.answers[i].text);
      }
      EXPECT_GT(run.stats.accepted_tokens, 50);
      num_preemptions += run.stats.scheduler.preemptions;
    }
  }
  EXPECT_GT(num_preemptions, 20);
}

TEST(EngineWithDraftModel, AModelAcceptsItsOwnDrafts) {
  auto requests = questions(3, /*has_pictures=*/false);
  for (GenerationRequest& request : requests) request.params.sampling.temperature = 0;
  const Answered run = answer(requests, {.draft_tokens = 65536, .is_own_draft = true});
  EXPECT_GT(run.stats.draft_tokens, 300);
  EXPECT_EQ(run.stats.accepted_tokens, run.stats.draft_tokens);
  const Answered expected = answer(requests, {});
  EXPECT_LT(run.stats.scheduler.num_steps, expected.stats.scheduler.num_steps / 2);
}

TEST(EngineWithDraftModel, CancelledRequestsLeaveNothingBehind) {
  FakeEngine fake(4096, kPageSize);
  fake.config.max_draft_tokens = 4;
  fake.draft = draft_config(2048);
  fake.start();
  fake.runner->rule = speak;
  fake.draft_runner->rule = speak_badly;
  Generator random(9);
  for (int round = 0; round < 40; ++round) {
    std::vector<std::shared_ptr<AnswerStream>> streams;
    for (GenerationRequest& request : questions(static_cast<uint64_t>(round), true)) {
      streams.push_back(fake.engine->submit(std::move(request)));
    }
    for (const auto& stream : streams) {
      if (random.below(2) == 0) stream->next();
      if (random.below(3) > 0) stream->cancel();
    }
    for (const auto& stream : streams) read_all(*stream, 3);
  }
  fake.engine->wait_until_idle();
  const EngineStats stats = fake.engine->stats();
  EXPECT_EQ(stats.finished + stats.aborted, stats.received);
  EXPECT_EQ(stats.pages_used, 0);
}

TEST(EngineWithDraftModel, AFailingDraftModelFailsNoRequest) {
  const auto requests = questions(5, /*has_pictures=*/true);
  const Answered expected = answer(requests, {});
  FakeEngine fake(65536, kPageSize);
  fake.config.max_draft_tokens = 5;
  fake.draft = draft_config(65536);
  fake.start();
  fake.runner->rule = speak;
  fake.draft_runner->rule = speak_badly;
  int num_runs = 0;
  fake.draft_runner->on_run = [&](const StepPlan&) {
    if (++num_runs % 7 == 0) throw std::bad_alloc();
  };
  std::size_t next = 0;
  for (const GenerationRequest& request : requests) {
    for (const FakeAnswer& choice : read_all(*fake.engine->submit(request), request.num_choices)) {
      EXPECT_EQ(choice.ids, expected.answers[next++].ids);
    }
  }
  EXPECT_GT(num_runs, 14);
}

}  // namespace
}  // namespace llava::engine
