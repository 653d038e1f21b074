// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/predictions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llava/core/error.h"

namespace llava::train_report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json line(int step, const std::string& answer) {
  return {{"step", step},        {"sample", "a"},      {"image", "1.png"},
          {"prompt", "Colour?"}, {"reference", "red"}, {"answer", answer}};
}

TEST(Predictions, AnswersToOneQuestionAreTogetherByStep) {
  Predictions predictions;
  predictions.add(line(20, " red\n"));
  predictions.add({{"step", 20}, {"sample", 3}, {"prompt", "Hi"}, {"answer", "Hello"}});
  predictions.add(line(10, "blue"));
  predictions.add(line(10, "green"));
  ASSERT_EQ(predictions.all().size(), 2u);
  const Prediction& first = predictions.all()[0];
  EXPECT_THAT(first.images, ElementsAre("1.png"));
  ASSERT_EQ(first.answers.size(), 2u);
  EXPECT_EQ(first.answers[0].answer, "green");
  EXPECT_FALSE(first.answers[0].equals_reference);
  EXPECT_TRUE(first.answers[1].equals_reference);
  EXPECT_EQ(predictions.all()[1].sample, "3");
  EXPECT_TRUE(predictions.all()[1].images.empty());
  EXPECT_FALSE(predictions.all()[1].answers[0].equals_reference);
}

TEST(Predictions, SeveralPictures) {
  Predictions predictions;
  Json several = line(1, "x");
  several["image"] = {"1.png", "2.png"};
  predictions.add(several);
  EXPECT_THAT(predictions.all()[0].images, ElementsAre("1.png", "2.png"));
}

TEST(Predictions, OtherFormsAreRefusedByKey) {
  for (const char* key : {"step", "sample", "image", "prompt", "reference", "answer"}) {
    Json bad = line(1, "x");
    bad[key] = {{"an", "object"}};
    Predictions predictions;
    try {
      predictions.add(bad);
      ADD_FAILURE() << key;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
      EXPECT_THAT(error.what(), HasSubstr(key));
    }
    EXPECT_TRUE(predictions.all().empty());
  }
  Json incomplete = line(1, "x");
  incomplete.erase("answer");
  EXPECT_THROW(Predictions().add(incomplete), Error);
}

}  // namespace
}  // namespace llava::train_report
