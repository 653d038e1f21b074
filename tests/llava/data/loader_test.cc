// SPDX-License-Identifier: Apache-2.0
#include "llava/data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/random.h"
#include "llava/data/training_template.h"
#include "llava/text/letter_tokenizer.h"

namespace llava::data {
namespace {

using ::testing::HasSubstr;
using Batches = std::vector<std::vector<int64_t>>;

// Text samples; those of `bad` have a speaker that nobody knows.
ConversationFile file_of(int64_t count, const std::vector<int64_t>& bad) {
  std::string text = "[";
  for (int64_t i = 0; i < count; ++i) {
    const bool is_bad = std::find(bad.begin(), bad.end(), i) != bad.end();
    text += fmt::format(
        R"({}{{"id": "s{}", "conversations": [{{"from": "{}", "value": "Say {}."}}, {{"from": "gpt", "value": "{}"}}]}})",
        i == 0 ? "" : ",", i, is_bad ? "nobody" : "human", i, i);
  }
  return ConversationFile::from_text(text + "]", "data.json");
}

struct Trial {
  Trial(int64_t count, std::vector<int64_t> bad, BadSamplePolicy policy, LoaderOptions loader = {})
      : file(file_of(count, bad)), source(file, maker, policy), options(loader) {}

  // Numbers of the samples of every batch.
  Batches load(Batches batches) {
    Loader loader(source, stream_of(std::move(batches)), options);
    Batches seen;
    while (auto samples = loader.next()) {
      seen.emplace_back();
      for (const Sample& sample : *samples) seen.back().push_back(sample.index);
    }
    EXPECT_FALSE(loader.next().has_value());
    return seen;
  }

  ConversationFile file;
  text::LetterTokenizer tokenizer{{.adds_bos = true}};
  SampleMaker maker{tokenizer,
                    {.dialogue = {.conversation = &training_template("v1", Compat::kIntended)}}};
  SampleSource source;
  LoaderOptions options;
};

TEST(Loader, KeepsTheOrderWithAnyNumberOfWorkers) {
  Generator random(5);
  Batches batches(200);
  for (auto& batch : batches) {
    for (uint64_t i = 0, count = 1 + random.below(5); i < count; ++i) {
      batch.push_back(static_cast<int64_t>(random.below(50)));
    }
  }
  for (const int workers : {0, 1, 2, 5}) {
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{1} << 14, std::size_t{1} << 30}) {
      Trial run(50, {}, BadSamplePolicy::kFail, {.num_workers = workers, .max_bytes = bytes});
      ASSERT_EQ(run.load(batches), batches) << workers << " workers, " << bytes << " bytes";
    }
  }
}

TEST(Loader, CanBeLeftAtAnyTime) {
  for (int taken = 0; taken < 5; ++taken) {
    Trial run(20, {}, BadSamplePolicy::kFail);
    Loader loader(run.source, stream_of(Batches(500, {1, 2, 3})), {.num_workers = 3});
    for (int i = 0; i < taken; ++i) EXPECT_TRUE(loader.next().has_value());
  }
}

TEST(Loader, WorksAheadWithinItsBounds) {
  Trial run(20, {}, BadSamplePolicy::kFail);
  std::atomic<int> drawn = 0;
  const BatchStream endless = [&]() -> std::optional<std::vector<int64_t>> {
    ++drawn;
    return std::vector<int64_t>{3};
  };
  {
    Loader loader(run.source, endless, {.num_workers = 2});
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(loader.next().has_value());
  }
  EXPECT_LE(drawn, 10 + 64 + 2);
  drawn = 0;
  {
    Loader loader(run.source, endless, {.num_workers = 2, .max_bytes = 1});
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(loader.next().has_value());
  }
  EXPECT_LE(drawn, 10 + 3);
}

TEST(Loader, FailsAtTheBatchOfABadSample) {
  for (const int workers : {0, 3}) {
    Trial run(10, {4, 7}, BadSamplePolicy::kFail);
    Loader loader(run.source, stream_of({{0, 1}, {2, 3}, {7, 4}, {5}}), {.num_workers = workers});
    EXPECT_TRUE(loader.next().has_value());
    EXPECT_TRUE(loader.next().has_value());
    try {
      loader.next();
      ADD_FAILURE() << "accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("sample 7 (id 's7'): turn 0 is from 'nobody'"));
    }
    EXPECT_FALSE(loader.next().has_value());
  }
}

TEST(Loader, LeavesBadSamplesOut) {
  for (const int workers : {0, 3}) {
    Trial run(10, {4, 7}, BadSamplePolicy::kSkip, {.num_workers = workers});
    EXPECT_EQ(run.load({{0, 4, 1}, {7, 4}, {5, 7}}), (Batches{{0, 1}, {8}, {5}}));
    EXPECT_EQ(run.source.num_replaced(), 4);
    const std::vector<BadSample> bad = run.source.bad_samples();
    ASSERT_EQ(bad.size(), 2U);
    EXPECT_EQ(bad[0].index, 4);
    EXPECT_EQ(bad[1].index, 7);
    EXPECT_THAT(bad[1].reason, HasSubstr("'nobody'"));
  }
}

TEST(Loader, ReplacesBadSamples) {
  for (const int workers : {0, 3}) {
    Trial run(10, {3, 4, 9}, BadSamplePolicy::kSubstitute, {.num_workers = workers});
    EXPECT_EQ(run.load({{0, 3}, {9, 4}}), (Batches{{0, 5}, {0, 5}}));
    EXPECT_EQ(run.source.num_replaced(), 3);
  }
}

TEST(Loader, GivesUpWhereNothingIsGood) {
  Trial run(3, {0, 1, 2}, BadSamplePolicy::kSubstitute);
  EXPECT_THROW(run.load({{0}}), Error);
}

TEST(Loader, PassesOnWhatTheStreamThrows) {
  for (const int workers : {0, 2}) {
    Trial run(5, {}, BadSamplePolicy::kFail);
    int calls = 0;
    Loader loader(run.source,
                  [&]() -> std::optional<std::vector<int64_t>> {
                    if (++calls > 2) throw std::runtime_error("no more epochs");
                    return std::vector<int64_t>{1};
                  },
                  {.num_workers = workers});
    EXPECT_TRUE(loader.next().has_value());
    EXPECT_TRUE(loader.next().has_value());
    EXPECT_THROW(loader.next(), std::runtime_error);
  }
}

TEST(Loader, RefusesNegativeWorkers) {
  Trial run(5, {}, BadSamplePolicy::kFail, {.num_workers = -1});
  EXPECT_THROW(run.load({{0}}), Error);
}

}  // namespace
}  // namespace llava::data
