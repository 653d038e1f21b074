// SPDX-License-Identifier: Apache-2.0
#include "llava/data/science_qa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/data/conversation_file.h"
#include "support/temporary_folder.h"

namespace llava::data {
namespace {

using ::testing::HasSubstr;

constexpr const char* kProblem = R"({
  "question": "Which  is  a Question: ?", "choices": ["a fern", "a moss"], "answer": 1,
  "hint": " Look. ", "lecture": "Plants\\nlive.", "solution": "A moss.", "image": "image.png"})";

SciencePrompt prompt(const std::string& format, const std::string& problem = kProblem) {
  return science_prompt(parse_json(problem, "problem"), "7", format);
}

TEST(ScienceQa, WritesEveryFormat) {
  // The first label goes, and with it every text that is written like it.
  EXPECT_EQ(prompt("QCM-A").input, "Which is a ?\nContext: Look.\nOptions: (A) a fern (B) a moss");
  EXPECT_EQ(prompt("CQM-A").input,
            "Context: Look.\nQuestion: Which is a Question: ?\nOptions: (A) a fern (B) a moss");
  EXPECT_THAT(prompt("QCMLE-A").input, HasSubstr("(B) a moss\nBECAUSE: Plants\nlive. A moss."));
  EXPECT_THAT(prompt("QCEM-A").input, HasSubstr("Look.\nBECAUSE: A moss.\nOptions: "));
  EXPECT_EQ(prompt("QCM-A").output, "The answer is B.");
  EXPECT_EQ(prompt("QCM-AL").output, "The answer is B. BECAUSE: A moss.");
  EXPECT_EQ(prompt("QCM-AE").output, "The answer is B. BECAUSE: Plants\nlive.");
  EXPECT_EQ(prompt("QCM-ALE").output, "The answer is B. BECAUSE: Plants\nlive. A moss.");
  EXPECT_EQ(prompt("QCM-AEL").output, "The answer is B. BECAUSE: A moss. Plants\nlive.");
  EXPECT_EQ(prompt("QCM-LA").output, "Plants\nlive. The answer is B.");
  EXPECT_EQ(prompt("QCM-LEA").output, "Plants\nlive. A moss. The answer is B.");
  EXPECT_EQ(prompt("QCM-ELA").output, "A moss. Plants\nlive. The answer is B.");
  EXPECT_EQ(prompt("QCM-LEPA").output,
            "LECTURE: Plants\nlive.\nSOLUTION: A moss.\n###\nANSWER: B.");
}

TEST(ScienceQa, LeavesOutWhatThereIsNot) {
  const std::string bare =
      R"({"question": "Q?", "choices": ["x"], "answer": 0, "hint": " ", "lecture": "", "solution": "", "image": null})";
  EXPECT_EQ(prompt("QCM-AL", bare).input, "Q?\nContext: N/A\nOptions: (A) x");
  EXPECT_EQ(prompt("QCM-AL", bare).output, "The answer is A.");
  EXPECT_EQ(prompt("QCM-LEPA", bare).output, "###\nANSWER: A.");
}

TEST(ScienceQa, RefusesUnknownFormatsAndProblems) {
  EXPECT_THROW(prompt("QCM"), Error);
  EXPECT_THROW(prompt("QCM-X"), Error);
  EXPECT_THROW(prompt("XYZ-A"), Error);
  EXPECT_THROW(prompt("QCM-A", R"({"question": "Q?"})"), Error);
  EXPECT_THROW(
      prompt(
          "QCM-A",
          R"({"question": "Q?", "choices": ["x"], "answer": 1, "hint": "", "lecture": "", "solution": ""})"),
      Error);
}

class ScienceQaFolder : public llava::testing::TemporaryFolder {
 protected:
  void SetUp() override {
    TemporaryFolder::SetUp();
    write("pid_splits.json", R"({"train": ["7", "3"], "test": ["9"]})");
    write(
        "problems.json",
        std::string(R"({"7": )") + kProblem +
            R"(, "3": {"question": "Gr\u00f6\u00dfe?", "choices": ["x"], "answer": 0, "hint": "", "lecture": "", "solution": "", "image": null}})");
  }
};

TEST_F(ScienceQaFolder, WritesATrainingFile) {
  const ConvertedFile file =
      science_qa_to_llava({.base_dir = folder_, .split = "train", .prompt_format = "QCM-LEA"});
  EXPECT_EQ(file.num_samples, 2);
  EXPECT_EQ(file.path.filename(), "llava_train_QCM-LEA.json");
  const std::string text = read_file(file.path, 1 << 20);
  EXPECT_THAT(text, HasSubstr("[\n  {\n    \"id\": \"7\",\n    \"image\": \"7/image.png\",\n"));
  EXPECT_THAT(text, HasSubstr("Gr\\u00f6\\u00dfe?"));
  const ConversationFile records = ConversationFile::open(file.path);
  EXPECT_EQ(records.record(0).conversations[0].value,
            "Which is a ?\nContext: Look.\nOptions: (A) a fern (B) a moss\n<image>");
  EXPECT_FALSE(records.record(1).has_image_key);
}

TEST_F(ScienceQaFolder, WritesJsonLines) {
  const ConvertedFile file =
      science_qa_to_jsonl({.base_dir = folder_, .split = "train", .prompt_format = "QCM-LEPA"});
  EXPECT_EQ(file.path.filename(), "scienceqa_train_QCM-LEPA.jsonl");
  const std::string text = read_file(file.path, 1 << 20);
  EXPECT_THAT(text, HasSubstr("{\"id\": \"7\", \"image\": \"7/image.png\", \"instruction\": \""));
  EXPECT_THAT(text,
              HasSubstr("{\"id\": \"3\", \"instruction\": \"Gr\\u00f6\\u00dfe?\\nContext: N/A"));
}

TEST_F(ScienceQaFolder, NamesWhatIsMissing) {
  const auto convert = [&](const char* split) {
    science_qa_to_llava({.base_dir = folder_, .split = split, .prompt_format = "QCM-A"});
  };
  EXPECT_THROW(convert("val"), Error);
  try {
    convert("test");
    ADD_FAILURE() << "accepted";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("has no problem '9', which the split 'test' names"));
  }
}

}  // namespace
}  // namespace llava::data
