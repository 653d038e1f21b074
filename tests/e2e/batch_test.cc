// SPDX-License-Identifier: Apache-2.0
//
// `llava batch`: two hundred pictures through the real program, killed twice. batch_many_test.cc
// has ten thousand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <set>

#include "batch_trial.h"

namespace llava::testing {
namespace {

using ::testing::HasSubstr;

using Batch = BatchTrial;

TEST_F(Batch, KilledTwiceItHasEveryRecordOnceAndRight) {
  constexpr int kPictures = 200;
  make_pictures(kPictures);
  const ProcessResult whole = run_process(command("whole.jsonl"));
  ASSERT_EQ(whole.status, 0) << whole.err;
  EXPECT_EQ(whole.out, "");
  EXPECT_THAT(whole.err, HasSubstr("200 of 200 answered"));
  EXPECT_THAT(whole.err, HasSubstr("4 with an error"));
  const auto answers = check_records("whole.jsonl", kPictures);
  EXPECT_GT(std::set<std::string>(answers.begin(), answers.end()).size(), 10u)
      << "answers that are all alike would not show a mistake";

  const int first = run_and_kill("killed.jsonl", 40);
  const int second = run_and_kill("killed.jsonl", first + 40);
  ASSERT_LT(second, kPictures);
  const ProcessResult last = run_process(command("killed.jsonl"));
  EXPECT_EQ(last.status, 0) << last.err;
  EXPECT_THAT(last.err, HasSubstr(std::to_string(second) + " of them before"));
  EXPECT_EQ(content("killed.jsonl"), content("whole.jsonl"));
}

// One at a time, many together, and `llava run` say the same.
TEST_F(Batch, AnswersAsRunDoes) {
  constexpr int kPictures = 12;
  make_pictures(kPictures);
  ASSERT_EQ(run_process(command("many.jsonl")).status, 0);
  ASSERT_EQ(run_process(command("one.jsonl", {"--max-in-flight", "1"})).status, 0);
  EXPECT_EQ(content("many.jsonl"), content("one.jsonl"));
  const auto answers = check_records("many.jsonl", kPictures);
  for (const int i : {0, 5, 11}) {
    const Json answer =
        json_of(run_llava(ask_golden("llava-v1.5-pad", picture(i).string(),
                                     "What is in picture " + std::to_string(i % 3) + "?")));
    EXPECT_EQ(answers.at(static_cast<std::size_t>(i)), answer.at("text").get<std::string>()) << i;
  }
}

TEST_F(Batch, CtrlCStopsBetweenTwoRecords) {
  constexpr int kPictures = 200;
  make_pictures(kPictures);
  Process process(command("out.jsonl"));
  while (num_records("out.jsonl") < 10 && process.resident_bytes() > 0) {
  }
  process.send_signal(SIGINT);
  const ProcessResult result = process.finish();
  EXPECT_EQ(result.status, 130) << result.err;
  EXPECT_THAT(result.err, HasSubstr("the same command goes on"));
  EXPECT_LT(num_records("out.jsonl"), kPictures);
  EXPECT_EQ(run_process(command("out.jsonl")).status, 0);
  check_records("out.jsonl", kPictures);
}

TEST_F(Batch, AFolderOfPicturesNeedsAQuery) {
  make_pictures(3);
  const auto ask = [&](std::vector<std::string> more) {
    return run_llava(
        std::vector<std::string>{"batch", "--model-path", golden_model("llava-v1.5-pad"), "--input",
                                 (folder_ / "pictures").string(), "--output",
                                 (folder_ / "out.jsonl").string(), "--max-new-tokens", "4"} +
        std::move(more));
  };
  const ProcessResult refused = ask({});
  EXPECT_EQ(refused.status, 2);
  EXPECT_THAT(refused.err, HasSubstr("--query"));
  EXPECT_EQ(ask({"--query", "What?"}).status, 0);
  EXPECT_EQ(num_records("out.jsonl"), 3);
  const ProcessResult other = ask({"--query", "Who?"});
  EXPECT_EQ(other.status, 2);
  EXPECT_THAT(other.err, HasSubstr("answers of another batch"));
}

}  // namespace
}  // namespace llava::testing
