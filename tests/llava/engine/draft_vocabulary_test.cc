// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/draft_vocabulary.h"

#include <gtest/gtest.h>

#include <string>

#include "fake_tokenizer.h"
#include "llava/core/error.h"

namespace llava::engine {
namespace {

// Words "0 ", "1 ", ...; from `first_special` on, added tokens with a prefix of their own.
class Words final : public FakeTokenizer {
 public:
  Words(int32_t size, int32_t first_special, std::string prefix = {}, int32_t odd_id = -1)
      : FakeTokenizer(size),
        first_special_(first_special),
        prefix_(std::move(prefix)),
        odd_id_(odd_id) {}

  std::string token_text(int32_t id) const override {
    if (id == odd_id_) return "odd";
    return (is_special(id) ? prefix_ : "") + FakeTokenizer::token_text(id);
  }
  bool is_special(int32_t id) const override { return id >= first_special_; }

 private:
  int32_t first_special_;
  std::string prefix_;
  int32_t odd_id_;
};

TEST(DraftVocabulary, AddedTokensMayDiffer) {
  const Words target(105, 100, "<a>");
  EXPECT_EQ(num_common_ids(target, target, "draft"), 105);
  EXPECT_EQ(num_common_ids(target, Words(100, 100), "draft"), 100);
  EXPECT_EQ(num_common_ids(target, Words(110, 100, "<b>"), "draft"), 100);
  EXPECT_EQ(num_common_ids(Words(100, 100), target, "draft"), 100);
}

TEST(DraftVocabulary, OtherTokensMayNot) {
  const Words target(105, 100);
  EXPECT_THROW(num_common_ids(target, Words(90, 90), "draft"), Error);
  EXPECT_THROW(num_common_ids(target, Words(120, 110), "draft"), Error);
  try {
    num_common_ids(target, Words(105, 100, "", 17), "small");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(
        std::string(error.what())
            .find("draft model 'small' has another vocabulary: token 17 is 'odd', but '17 ' for"),
        std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace llava::engine
