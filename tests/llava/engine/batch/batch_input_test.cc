// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/batch/batch_input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"

namespace llava::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class BatchInputTest : public llava::testing::TemporaryFolder {
 protected:
  std::vector<BatchItem> items(const BatchInputOptions& options) {
    BatchInput input(options);
    std::vector<BatchItem> all;
    while (auto item = input.next()) all.push_back(std::move(*item));
    EXPECT_EQ(static_cast<int64_t>(all.size()), input.num_items());
    EXPECT_FALSE(input.next().has_value());
    return all;
  }
};

TEST_F(BatchInputTest, AFolderGivesItsFilesByName) {
  for (const char* name : {"b.png", "a.jpg", ".hidden", "inner/c.png", "answers.jsonl"}) {
    write(name, "x");
  }
  const auto all = items({.input = folder_,
                          .query = "What?",
                          .image_folder = {},
                          .output = folder_ / "inner" / ".." / "answers.jsonl"});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_THAT(all[0].pictures, ElementsAre("a.jpg"));
  EXPECT_THAT(all[1].question.pictures, ElementsAre((folder_ / "b.png").string()));
  EXPECT_EQ(all[1].question.question, "What?");
  EXPECT_EQ(all[1].question.index, 1);
  EXPECT_TRUE(all[1].id.empty());
}

TEST_F(BatchInputTest, AFolderNeedsAQuestion) {
  try {
    items({.input = folder_, .query = {}, .image_folder = {}, .output = {}});
    FAIL() << "no question was asked";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(error.what(), HasSubstr("--query"));
  }
  EXPECT_THROW(items({.input = folder_ / "none", .query = "q", .image_folder = {}, .output = {}}),
               Error);
}

TEST_F(BatchInputTest, LinesAreReadInTheirOwnAndTheOriginalsForm) {
  const auto file = write("questions.jsonl",
                          R"({"image": "a.png", "question": "one"})"
                          "\n\n  \r\n"
                          R"({"question_id": 17, "image": "b.png", "text": "two", "category": "x"})"
                          "\r\n"
                          R"({"id": "k", "image": ["c.png", "http://h/d.png"]})"
                          "\n"
                          R"({"question": "no picture"})");
  const auto all = items({.input = file, .query = "default", .image_folder = {}, .output = {}});
  ASSERT_EQ(all.size(), 4u);
  for (const BatchItem& item : all) EXPECT_FALSE(item.error.has_value());
  EXPECT_EQ(all[0].question.question, "one");
  EXPECT_THAT(all[0].question.pictures, ElementsAre((folder_ / "a.png").string()));
  EXPECT_EQ(all[1].question.question, "two");
  EXPECT_EQ(all[1].id, "17");
  EXPECT_EQ(all[2].question.question, "default");
  EXPECT_EQ(all[2].id, "\"k\"");
  EXPECT_THAT(all[2].pictures, ElementsAre("c.png", "http://h/d.png"));
  EXPECT_THAT(all[2].question.pictures,
              ElementsAre((folder_ / "c.png").string(), "http://h/d.png"));
  EXPECT_TRUE(all[3].question.pictures.empty());
}

TEST_F(BatchInputTest, PicturesMayBeElsewhere) {
  const auto file = write("q.jsonl", R"({"image": "a.png", "question": "one"})");
  const auto all = items({.input = file, .query = {}, .image_folder = "/pictures", .output = {}});
  EXPECT_THAT(all.at(0).question.pictures, ElementsAre("/pictures/a.png"));
}

TEST_F(BatchInputTest, ABadLineIsAnItemWithAnError) {
  const auto file = write("q.jsonl",
                          "{\"image\": 5, \"question\": \"q\"}\n"
                          "not json\n"
                          "[]\n"
                          "{\"image\": \"a.png\"}\n"
                          "{\"id\": {}, \"question\": \"q\"}\n"
                          "{\"image\": [\"a\", 1], \"question\": \"q\"}\n"
                          "{\"question\": \"\xff\"}\n" +
                              std::string((1 << 20) + 1, 'x') + "\n{\"question\": \"good\"}\n");
  const auto all = items({.input = file, .query = {}, .image_folder = {}, .output = {}});
  ASSERT_EQ(all.size(), 9u);
  for (std::size_t i = 0; i < 8; ++i) {
    ASSERT_TRUE(all[i].error.has_value()) << "line " << i + 1;
    EXPECT_EQ(all[i].error->code, ErrorCode::kBadFormat);
    EXPECT_THAT(all[i].error->message, HasSubstr("q.jsonl:" + std::to_string(i + 1)));
    EXPECT_LT(all[i].error->message.size(), 1000u);
  }
  EXPECT_FALSE(all[8].error.has_value());
}

}  // namespace
}  // namespace llava::engine
