// SPDX-License-Identifier: Apache-2.0
//
// What single tokens add to a text, against the text of the whole.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "llava/core/random.h"
#include "llava/text/grammar/vocabularies.h"
#include "llava/text/utf8.h"

namespace llava::text {
namespace {

TEST(TokenBytes, AddUpToTheText) {
  const std::string words[] = {" the answer", "\xF0\x9F\x98\x80\xE6\x97\xA5", "caf\xC3\xA9",
                               "  two  spaces", "\n{\"a\": [1]}"};
  std::vector<std::string> names = grammar::vocabulary_names();
  for (const char* name : {"metaspace_never_whole", "metaspace_always_split", "prefix_space",
                           "llama3", "qwen2", "bpe_rules.model", "unigram_nmt_nfkc.model"}) {
    names.emplace_back(name);
  }
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const auto tokenizer = grammar::open_vocabulary(name);
    int num_checked = 0;
    for (uint64_t seed = 0; seed < 100; ++seed) {
      Generator generator(seed);
      std::vector<int32_t> ids;
      while (ids.size() < 12) {
        if (generator.below(2) == 0) {
          ids.push_back(
              static_cast<int32_t>(generator.below(static_cast<uint64_t>(tokenizer->size()))));
          continue;
        }
        const auto encoded = tokenizer->encode(words[generator.below(std::size(words))], false);
        ids.insert(ids.end(), encoded.begin(), encoded.end());
      }
      std::string text;
      std::vector<int32_t> kept;
      for (const int32_t id : ids) {
        const auto bytes = tokenizer->token_bytes(id, kept.empty());
        if (!bytes || (kept.empty() && bytes->empty())) continue;
        // What is no character reads differently alone and with what follows.
        if (bytes->size() == 1 && static_cast<unsigned char>(bytes->front()) >= 0x80) continue;
        if (!is_valid_utf8(*bytes)) continue;
        kept.push_back(id);
        text += *bytes;
      }
      ASSERT_EQ(tokenizer->decode(kept), text) << "seed " << seed;
      num_checked += kept.empty() ? 0 : 1;
    }
    EXPECT_GT(num_checked, 90);
  }
}

TEST(TokenBytes, BytePiecesAreTheirByte) {
  for (const char* name : {"prepend", "bpe_llama.model"}) {
    const auto tokenizer = grammar::open_vocabulary(name);
    for (const bool is_first : {true, false}) {
      EXPECT_EQ(tokenizer->token_bytes(*tokenizer->id_of("<0xE2>"), is_first), "\xE2") << name;
    }
    EXPECT_EQ(tokenizer->token_bytes(*tokenizer->id_of("<s>"), false), std::nullopt) << name;
  }
  const auto byte_level = grammar::open_vocabulary("gpt2");
  EXPECT_EQ(byte_level->token_bytes(*byte_level->id_of("\xC4\xA0"), true), " ");
  EXPECT_EQ(byte_level->token_bytes(*byte_level->id_of("\xC3\xA2"), true), "\xE2");
}

}  // namespace
}  // namespace llava::text
