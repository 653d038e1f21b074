// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llava/core/error.h"
#include "support/temporary_folder.h"

namespace llava::train_report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RunFolderTest : public llava::testing::TemporaryFolder {};

TEST_F(RunFolderTest, ReadsAFinishedRun) {
  write("train_log.jsonl", "{\"step\": 1, \"loss\": 2}\n{\"step\": 1, \"train_runtime\": 3}\n");
  write("trainer_state.json",
        R"({"max_steps": 1, "best_model_checkpoint": "elsewhere/checkpoint-1"})");
  write("training_args.json", R"({"learning-rate": 0.5})");
  write("config.json", "{}");
  write("data_check.json", R"({"samples": 3, "traps": {}})");
  write("checkpoint-10/model.safetensors", "0123456789");
  write("checkpoint-1/model.safetensors", "01234");
  write("checkpoint-1/run_state.json", "{}");
  write("checkpoint-x/file", "");
  const RunFolder run = read_run_folder(folder_);
  EXPECT_TRUE(run.is_finished());
  EXPECT_EQ(run.num_steps(), 1u);
  EXPECT_EQ(run.arguments.at("learning-rate"), 0.5);
  EXPECT_EQ(run.data_check.at("samples"), 3);
  ASSERT_EQ(run.checkpoints.size(), 2u);
  EXPECT_EQ(run.checkpoints[0].step, 1u);
  EXPECT_EQ(run.checkpoints[0].bytes, 7u);
  EXPECT_TRUE(run.checkpoints[0].can_resume);
  EXPECT_TRUE(run.checkpoints[0].is_best);
  EXPECT_EQ(run.checkpoints[1].bytes, 10u);
  EXPECT_FALSE(run.checkpoints[1].can_resume);
  EXPECT_THAT(run.problems, IsEmpty());
}

TEST_F(RunFolderTest, ARunThatWasKilledIsRead) {
  write("train_log.jsonl", "{\"step\": 1, \"loss\": 2}\n{\"step\": 2, \"lo");
  write("checkpoint-1/training_args.json", R"({"lora-r": 4})");
  write("checkpoint-1/trainer_state.json", R"({"max_steps": 9})");
  write("tmp-checkpoint-2/part", "x");
  const RunFolder run = read_run_folder(folder_);
  EXPECT_FALSE(run.is_finished());
  EXPECT_EQ(run.log.steps().size(), 1u);
  EXPECT_EQ(run.num_steps(), 9u);
  EXPECT_EQ(run.arguments.at("lora-r"), 4);
  EXPECT_THAT(run.problems, ElementsAre(HasSubstr("tmp-checkpoint-2"),
                                        HasSubstr("the last line is not finished")));
}

TEST_F(RunFolderTest, TheHistoryIsTakenWhereThereIsNoLog) {
  write("trainer_state.json",
        R"({"log_history": [{"step": 5, "loss": 1.5, "learning_rate": 0.1}, {"loss": 1}]})");
  const RunFolder run = read_run_folder(folder_);
  ASSERT_EQ(run.log.steps().size(), 1u);
  EXPECT_EQ(run.log.steps()[0].learning_rate, 0.1);
  EXPECT_THAT(run.problems, ElementsAre(HasSubstr("1 entries of log_history")));
}

TEST_F(RunFolderTest, DamagedFilesAreProblems) {
  write("train_log.jsonl", "");
  write("trainer_state.json", "{");
  write("training_args.json", "[]");
  const RunFolder run = read_run_folder(folder_);
  EXPECT_TRUE(run.log.empty());
  EXPECT_THAT(run.problems, ElementsAre(HasSubstr("trainer_state.json"),
                                        HasSubstr("training_args.json is no JSON object")));
}

TEST_F(RunFolderTest, OtherFoldersAreRefused) {
  write("notes.txt", "x");
  const auto refusal = [](const auto& read) {
    try {
      read();
    } catch (const Error& error) {
      return fmt::format("{}: {}", error_code_name(error.code()), error.what());
    }
    return std::string("none");
  };
  EXPECT_THAT(refusal([&] { read_run_folder(folder_); }),
              HasSubstr("bad_format: '" + folder_.string() + "' is not the folder of a training"));
  EXPECT_THAT(refusal([&] { read_run_folder(folder_ / "none"); }),
              HasSubstr("not_found: there is no folder"));
  EXPECT_THAT(refusal([&] { read_run_folder(folder_ / "notes.txt"); }),
              HasSubstr("not_found: there is no folder"));
  write("train_log.jsonl", "");
  EXPECT_THAT(refusal([&] { read_run_folder(folder_, folder_ / "none.json"); }),
              HasSubstr("not_found"));
  const auto other = write("other.json", "{\"samples\": 1}");
  EXPECT_THAT(refusal([&] { read_run_folder(folder_, other); }),
              HasSubstr("llava data check FILE --json"));
}

}  // namespace
}  // namespace llava::train_report
