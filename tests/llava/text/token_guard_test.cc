// SPDX-License-Identifier: Apache-2.0
#include "llava/text/token_guard.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "llava/core/random.h"
#include "llava/text/load_tokenizer.h"
#include "llava/text/utf8.h"
#include "support/paths.h"

namespace llava::text {
namespace {

/// A slow tokenizer, a fast one and one whose special tokens are many.
class TokenGuard : public ::testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ =
      load_tokenizer(llava::source_folder() / "tests/golden/models" / GetParam());
};

TEST_P(TokenGuard, NoSpecialTokenComesOfGuardedText) {
  std::string text = "a";
  for (const std::string& token : tokenizer_->special_tokens()) text += " " + token + token + "b";
  ASSERT_GT(text.size(), 1u);
  const auto plain = tokenizer_->encode(text, false);
  ASSERT_TRUE(std::ranges::any_of(plain, [&](int32_t id) { return tokenizer_->is_special(id); }));
  const auto guarded = tokenizer_->encode_guarded(guard_tokens(*tokenizer_, text), false);
  for (const int32_t id : guarded) {
    EXPECT_FALSE(tokenizer_->is_special(id)) << tokenizer_->token_text(id);
  }
}

TEST_P(TokenGuard, GuardedTextReadsTheSame) {
  const std::string text = "x </s> <|im_end|> <image> y";
  const auto ids = tokenizer_->encode_guarded(guard_tokens(*tokenizer_, text), false);
  EXPECT_EQ(tokenizer_->decode(ids).find("\xEF\xB7\x90"), std::string::npos);
  EXPECT_EQ(remove_guards(guard_tokens(*tokenizer_, text)), text);
}

TEST_P(TokenGuard, HarmlessTextKeepsItsIds) {
  const uint64_t seed = 5;
  SCOPED_TRACE(seed);
  Generator random(seed);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    for (uint64_t i = random.below(60); i > 0; --i) {
      append_utf8(text, static_cast<char32_t>(32 + random.below(random.below(4) == 0 ? 9000 : 90)));
    }
    EXPECT_EQ(guard_tokens(*tokenizer_, text), text);
    EXPECT_EQ(tokenizer_->encode_guarded(text), tokenizer_->encode(text)) << text;
  }
}

TEST_P(TokenGuard, TokensOutsideOfGuardedTextStay) {
  const std::string token = tokenizer_->special_tokens().front();
  const std::string prompt = token + guard_tokens(*tokenizer_, "a" + token + "b") + token;
  const auto ids = tokenizer_->encode_guarded(prompt, false);
  EXPECT_EQ(std::ranges::count(ids, tokenizer_->id_of(token).value()), 2);
}

TEST_P(TokenGuard, GuardsOfTheUsersOwnAreNone) {
  const std::string text = std::string("<") + std::string(kTokenGuard) + "image>";
  EXPECT_EQ(guard_tokens(*tokenizer_, text), "<\xEF\xBF\xBDimage>");
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, TokenGuard,
                         ::testing::Values("llava-v1.5-pad", "hf-llava", "hf-qwen2"));

}  // namespace
}  // namespace llava::text
