// SPDX-License-Identifier: Apache-2.0
#include "llava/text/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llava/core/error.h"
#include "llava/text/history.h"
#include "llava/text/letter_tokenizer.h"
#include "llava/text/multimodal_sequence.h"
#include "llava/text/text_streamer.h"

namespace llava::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(TokenizeWithImages, PiecesStandAlone) {
  const LetterTokenizer tokenizer({.adds_bos = true});
  EXPECT_THAT(tokenize_with_images(tokenizer, "a<image>\nb"),
              ElementsAre(1, 'a', kImageSentinel, '\n', 'b'));
  EXPECT_THAT(tokenize_with_images(tokenizer, "<image><image>"),
              ElementsAre(1, kImageSentinel, kImageSentinel));
  EXPECT_THAT(tokenize_with_images(tokenizer, ""), ElementsAre(1));
  EXPECT_THAT(tokenize_with_images(tokenizer, "a<image>b", {.add_special = false}),
              ElementsAre('a', kImageSentinel, 'b'));
}

// A begin token that is written in the text is text: SmolLM2's is "<|im_start|>".
TEST(TokenizeWithImages, KeepsWhatTheTokenizerDidNotAdd) {
  const LetterTokenizer tokenizer({.adds_bos = false});
  EXPECT_THAT(tokenize_with_images(tokenizer, "\x01z<image>\nb"),
              ElementsAre(1, 'z', kImageSentinel, '\n', 'b'));
}

TEST(TokenizeWithImages, SingleBegin) {
  const LetterTokenizer tokenizer({.adds_bos = true});
  EXPECT_THAT(tokenize_with_images(tokenizer, "\x01z"), ElementsAre(1, 1, 'z'));
  EXPECT_THAT(tokenize_with_images(tokenizer, "\x01z", {.has_single_begin = true}),
              ElementsAre(1, 'z'));
}

TEST(TokenizeWithImageToken, WholeText) {
  const LetterTokenizer tokenizer({.adds_bos = true, .image_token = "<image>"});
  EXPECT_THAT(tokenize_with_image_token(tokenizer, "a<image>b", "<image>"),
              ElementsAre(1, 'a', kImageSentinel, 'b'));
}

TEST(TokenizeWithImageToken, CountsMustAgree) {
  const LetterTokenizer tokenizer({.adds_bos = true, .image_token = "<image>"});
  try {
    tokenize_with_image_token(tokenizer, "aXb", "X");
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("no token 'X'"));
  }
}

TEST(ExpandImages, RunsOfPlaceholders) {
  const std::vector<int32_t> ids = {1, kImageSentinel, 5, kImageSentinel};
  const std::vector<int32_t> tokens = {3, 0};
  const MultimodalSequence sequence = expand_images(ids, tokens);
  EXPECT_THAT(sequence.ids, ElementsAre(1, kPlaceholderId, kPlaceholderId, kPlaceholderId, 5));
  ASSERT_EQ(sequence.images.size(), 2u);
  EXPECT_EQ(sequence.images[0].offset, 1);
  EXPECT_EQ(sequence.images[0].num_tokens, 3);
  EXPECT_EQ(sequence.images[1].offset, 5);
  EXPECT_EQ(sequence.images[1].image, 1);
}

TEST(ExpandImages, CountsMustAgree) {
  const std::vector<int32_t> ids = {1, kImageSentinel};
  const std::vector<int32_t> tokens = {3, 4};
  try {
    expand_images(ids, tokens);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("1 image placeholders"));
    EXPECT_THAT(error.what(), HasSubstr("2 images"));
  }
}

TEST(StoredAnswer, PlainAndOriginal) {
  const LetterTokenizer tokenizer({.adds_bos = true});
  const std::vector<int32_t> ids = {' ', 'o', 'k', 2};
  EXPECT_EQ(stored_answer(tokenizer, ids, HistoryMode::kPlainText), "ok");
  EXPECT_EQ(stored_answer(tokenizer, ids, HistoryMode::kOriginal), "\x01 ok\x02");
}

TEST(TextStreamer, WordsLinesAndIdeographs) {
  const LetterTokenizer tokenizer({});
  TextStreamer streamer(tokenizer);
  std::vector<std::string> chunks;
  for (const char32_t id : U"ab c\nd\u4E2D e") {
    if (id != 0) chunks.push_back(streamer.push(static_cast<int32_t>(id)));
  }
  chunks.push_back(streamer.finish());
  EXPECT_THAT(chunks, ElementsAre("", "", "ab ", "", "c\n", "", "d\xE4\xB8\xAD", " ", "", "e"));
  EXPECT_EQ(streamer.finish(), "");
}

}  // namespace
}  // namespace llava::text
