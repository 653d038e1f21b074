// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/batch/batch_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/core/random.h"
#include "llava/engine/batch/batch_output.h"
#include "llava/engine/batch/fake_answers.h"
#include "support/temporary_folder.h"

namespace llava::engine {
namespace {

using ::testing::HasSubstr;

class BatchRunTest : public llava::testing::TemporaryFolder {
 protected:
  void write_questions(int count) {
    std::string lines;
    for (int i = 0; i < count; ++i) {
      lines +=
          i % 10 == 9
              ? "{\"bad\": line\n"
              : fmt::format(R"({{"id": {0}, "image": "{0}.png", "question": "q{0}"}})", i) + "\n";
    }
    write("questions.jsonl", lines);
  }

  BatchReport run(FakeAnswers& answers, std::stop_token stop = {}) {
    BatchInput input({.input = folder_ / "questions.jsonl",
                      .query = {},
                      .image_folder = "pictures",
                      .output = output_path()});
    return run_batch(input, answers, options_, stop);
  }
  BatchReport run() {
    FakeAnswers answers;
    return run(answers);
  }

  std::filesystem::path output_path() const { return folder_ / "answers.jsonl"; }
  std::string output() const { return read_file(output_path(), 1 << 24); }

  // Every record is there once, in its place, and right.
  void expect_complete(int count) {
    const std::string text = output();
    std::size_t begin = 0;
    for (int i = 0; i < count; ++i) {
      const std::size_t end = text.find('\n', begin);
      ASSERT_NE(end, std::string::npos) << "record " << i;
      const Json record = parse_json(text.substr(begin, end - begin), "record");
      begin = end + 1;
      ASSERT_EQ(record.at("index"), i);
      ASSERT_EQ(record.at("model"), "model");
      if (i % 10 == 9) {
        EXPECT_EQ(record.at("error").at("code"), "bad_format");
        EXPECT_FALSE(record.contains("question"));
        continue;
      }
      EXPECT_EQ(record.at("id"), i);
      EXPECT_EQ(record.at("image"), fmt::format("{}.png", i));
      EXPECT_EQ(record.at("question"), fmt::format("q{}", i));
      if (FakeAnswers::is_bad(i)) {
        EXPECT_EQ(record.at("error").at("message"), fmt::format("picture {} is damaged", i));
        EXPECT_FALSE(record.contains("answer"));
      } else {
        EXPECT_EQ(record.at("answer"), fmt::format("q{0} about pictures/{0}.png", i));
        EXPECT_EQ(record.at("finish_reason"), "stop");
        EXPECT_EQ(record.at("usage").at("completion_tokens"), 3);
      }
    }
    EXPECT_EQ(begin, text.size());
  }

  void SetUp() override {
    TemporaryFolder::SetUp();
    options_ = {.output = output_path(), .model = "model", .num_in_flight = 4, .on_progress = {}};
  }

  BatchRunOptions options_;
};

TEST_F(BatchRunTest, AnswersEveryItemInOrderAndGoesPastBadOnes) {
  write_questions(50);
  std::vector<std::pair<uint64_t, uint64_t>> progress;
  options_.on_progress = [&](uint64_t done, uint64_t total) { progress.emplace_back(done, total); };
  FakeAnswers answers;
  const BatchReport report = run(answers);
  EXPECT_EQ(report.num_items, 50);
  EXPECT_EQ(report.num_resumed, 0);
  EXPECT_EQ(report.num_answered + report.num_failed, 50);
  EXPECT_EQ(report.num_failed, 5 + 7) << "bad lines and bad pictures";
  EXPECT_TRUE(report.is_complete);
  EXPECT_EQ(answers.most_in_flight, 4);
  EXPECT_EQ(progress.front(), (std::pair<uint64_t, uint64_t>{1, 50}));
  EXPECT_EQ(progress.back(), (std::pair<uint64_t, uint64_t>{50, 50}));
  expect_complete(50);
}

TEST_F(BatchRunTest, ACompleteBatchIsLeftAsItIs) {
  write_questions(20);
  run();
  const std::string before = output();
  FakeAnswers answers;
  const BatchReport report = run(answers);
  EXPECT_EQ(report.num_resumed, 20);
  EXPECT_EQ(answers.num_submitted, 0);
  EXPECT_EQ(output(), before);
}

// The file of a run that ended after any byte is continued to the same file. Every fifth byte: a
// run flushes to the disk.
TEST_F(BatchRunTest, ContinuesAFileThatEndsAnywhere) {
  write_questions(4);
  run();
  const std::string whole = output();
  for (std::size_t cut = 0; cut < whole.size(); cut += 5) {
    write("answers.jsonl", whole.substr(0, cut));
    const auto num_whole =
        std::count(whole.begin(), whole.begin() + static_cast<int64_t>(cut), '\n');
    FakeAnswers answers;
    run(answers);
    ASSERT_EQ(output(), whole) << "cut at " << cut;
    ASSERT_EQ(answers.num_submitted, 4 - num_whole) << "cut at " << cut;
  }
  // A loss of power may leave zeros where a record was to be.
  const std::size_t third = whole.find("{\"index\":3");
  write("answers.jsonl", whole.substr(0, third) + std::string(100, '\0'));
  run();
  EXPECT_EQ(output(), whole);
}

TEST_F(BatchRunTest, KilledAgainAndAgainItLosesAndRepeatsNothing) {
  constexpr int kItems = 200;
  constexpr uint64_t kSeed = 21;
  SCOPED_TRACE(kSeed);
  write_questions(kItems);
  Generator generator(kSeed);
  int num_kills = 0;
  for (;;) {
    const int answers_until_kill = static_cast<int>(1 + generator.below(30));
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      FakeAnswers answers;
      answers.answers_until_kill = answers_until_kill;
      run(answers);
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) break;
    ASSERT_EQ(WTERMSIG(status), SIGKILL);
    ASSERT_LT(++num_kills, kItems);
  }
  EXPECT_GT(num_kills, 5);
  expect_complete(kItems);
}

TEST_F(BatchRunTest, AStopEndsBetweenTwoRecords) {
  write_questions(30);
  std::stop_source stop;
  options_.on_progress = [&](uint64_t done, uint64_t) {
    if (done == 11) stop.request_stop();
  };
  FakeAnswers answers;
  const BatchReport report = run(answers, stop.get_token());
  EXPECT_FALSE(report.is_complete);
  EXPECT_EQ(report.num_answered + report.num_failed, 11);
  options_.on_progress = {};
  EXPECT_TRUE(run().is_complete);
  expect_complete(30);
}

TEST_F(BatchRunTest, ACancelledAnswerIsNoRecord) {
  class Cancelled : public FakeAnswers {
   public:
    std::future<BatchAnswer> submit(BatchQuestion question) override {
      if (question.index < 2) return FakeAnswers::submit(std::move(question));
      return std::async(std::launch::deferred, [] {
        return BatchAnswer{.text = "half an ans", .finish_reason = FinishReason::kCancelled};
      });
    }
  };
  write_questions(5);
  Cancelled answers;
  EXPECT_FALSE(run(answers).is_complete);
  run();
  expect_complete(5);
}

TEST_F(BatchRunTest, OurOwnFaultsAreNobodysAnswer) {
  class Broken : public FakeAnswers {
   public:
    std::future<BatchAnswer> submit(BatchQuestion) override {
      return std::async(std::launch::deferred,
                        []() -> BatchAnswer { fail(ErrorCode::kInternal, "a fault"); });
    }
  };
  write_questions(5);
  Broken answers;
  EXPECT_THROW(run(answers), Error);
  EXPECT_EQ(output(), "");
  class Poor : public FakeAnswers {
   public:
    std::future<BatchAnswer> submit(BatchQuestion) override {
      return std::async(std::launch::deferred, []() -> BatchAnswer { throw std::bad_alloc(); });
    }
  };
  Poor poor;
  EXPECT_EQ(run(poor).num_failed, 5);
  EXPECT_THAT(output(), HasSubstr("resource_exhausted"));
}

// What refuses to continue leaves the file as it was.
TEST_F(BatchRunTest, DoesNotMixBatches) {
  write_questions(10);
  run();
  const std::string whole = output();
  const auto expect_refusal = [&](const std::string& part) {
    const std::string before = output();
    try {
      run();
      ADD_FAILURE() << "continued in spite of " << part;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(part));
    }
    EXPECT_EQ(output(), before);
  };
  write("answers.jsonl", whole.substr(0, whole.find("{\"index\":5")));
  options_.model = "another";
  expect_refusal("model \"model\", expected \"another\"");
  options_.model = "model";
  const std::string questions = read_file(folder_ / "questions.jsonl", 1 << 20);
  std::string changed = questions;
  changed.replace(changed.find("q2"), 2, "Q2");
  write("questions.jsonl", changed);
  expect_refusal("record 2 has question \"q2\", expected \"Q2\"");
  write_questions(3);
  expect_refusal("more records");
  write_questions(10);
  write("answers.jsonl", "my diary");
  expect_refusal("no record");
  write("answers.jsonl", "my diary\n");
  expect_refusal("answers.jsonl:1");
  write("answers.jsonl", whole.substr(whole.find('\n') + 1));
  expect_refusal("not the record of index 0");
  write("answers.jsonl", whole + whole);
  expect_refusal("answers.jsonl:11");
}

TEST_F(BatchRunTest, AnOutputHasOneWriter) {
  write_questions(5);
  const BatchOutput holder(output_path(), {});
  try {
    run();
    FAIL() << "two writers";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
    EXPECT_THAT(error.what(), HasSubstr("answers.jsonl"));
  }
}

TEST_F(BatchRunTest, AFullDiskLeavesWholeRecords) {
  write_questions(50);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  rlimit tight = before;
  tight.rlim_cur = 3000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  std::string message;
  try {
    run();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    message = error.what();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(message, HasSubstr("answers.jsonl"));
  EXPECT_TRUE(output().ends_with("\n"));
  EXPECT_TRUE(run().is_complete);
  expect_complete(50);
}

TEST_F(BatchRunTest, RefusesAPlaceThatIsNoFile) {
  write_questions(5);
  options_.output = folder_ / "none" / "answers.jsonl";
  EXPECT_THROW(run(), Error);
  options_.output = "/dev/null";
  EXPECT_THROW(run(), Error);
}

}  // namespace
}  // namespace llava::engine
