// SPDX-License-Identifier: Apache-2.0
#include "llava/data/question.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "llava/data/training_template.h"
#include "llava/text/letter_tokenizer.h"

namespace llava::data {
namespace {

using ::testing::HasSubstr;
using text::LetterTokenizer;

class QuestionTest : public ::testing::Test {
 protected:
  static Record record() {
    return {.index = 5,
            .id = "r",
            .conversations = {{.from = "human", .value = "What is this? "},
                              {.from = "gpt", .value = " A cat. "},
                              {.from = "human", .value = "And now?"},
                              {.from = "gpt", .value = "A dog."}}};
  }
  SampleMaker maker_of(const char* version) const {
    SampleRules rules;
    rules.dialogue.conversation = &training_template(version, Compat::kIntended);
    return {tokenizer_, rules};
  }

  LetterTokenizer tokenizer_{{.adds_bos = true}};
};

TEST_F(QuestionTest, EndsWhereTheFirstAnswerBegins) {
  const SampleMaker maker = maker_of("v1");
  const Question question = first_question(maker, record());
  EXPECT_EQ(question.prompt, "What is this?");
  EXPECT_EQ(question.reference, "A cat.");
  EXPECT_EQ(question.sample.id, "r");
  EXPECT_TRUE(question.sample.pictures.empty());
  EXPECT_EQ(question.sample.labels.size(), question.sample.ids.size());
  EXPECT_EQ(num_trained(question.sample), 0);
  // What training shows of the first answer is what follows these ids.
  const std::vector<int32_t> trained = maker.make_text(record()).ids;
  EXPECT_TRUE(std::equal(question.sample.ids.begin(), question.sample.ids.end(), trained.begin()));
  EXPECT_THAT(tokenizer_.decode(question.sample.ids, true),
              HasSubstr("USER: What is this?  ASSISTANT:"));
}

TEST_F(QuestionTest, AnswersEndAsTheTemplateSays) {
  const auto ids_of = [&](const std::string& text) { return tokenizer_.encode(text, false); };
  const SampleMaker chat = maker_of("v1");
  EXPECT_EQ(answer_text(chat, ids_of(" A cat.")).text, "A cat.");
  EXPECT_FALSE(answer_text(chat, ids_of(" A cat.")).is_over);
  std::vector<int32_t> ended = ids_of(" A cat.");
  ended.push_back(*tokenizer_.eos_id());
  EXPECT_EQ(answer_text(chat, ended).text, "A cat.");
  EXPECT_TRUE(answer_text(chat, ended).is_over);
  const AnswerText caption = answer_text(maker_of("plain"), ids_of("a cat\nmore"));
  EXPECT_EQ(caption.text, "a cat");
  EXPECT_TRUE(caption.is_over);
}

}  // namespace
}  // namespace llava::data
