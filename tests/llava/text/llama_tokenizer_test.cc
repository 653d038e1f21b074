// SPDX-License-Identifier: Apache-2.0
//
// The slow LLaMA class against transformers 4.37: both dialects, added tokens from every file and
// those the loader adds.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/text/decode_check.h"
#include "llava/text/load_tokenizer.h"
#include "support/paths.h"

namespace llava::text {
namespace {

namespace fs = std::filesystem;
const fs::path kData = test_data() / "text";

class SlowGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(SlowGolden, AgreesWithTheLibrary) {
  static const Json goldens = read_json_file(kData / "slow_goldens.json");
  const Json& golden = goldens.at(GetParam());
  const fs::path folder = fs::path(::testing::TempDir()) / ("slow_" + std::string(GetParam()));
  fs::remove_all(folder);
  fs::create_directories(folder);
  fs::copy_file(kData / (golden.at("model").get<std::string>() + ".model"),
                folder / "tokenizer.model");
  for (const auto& [name, content] : golden.at("files").items()) {
    write_file_atomically(folder / name, to_text(content));
  }
  const auto tokenizer = load_tokenizer(folder, TokenizerForm::kSlow);
  for (const Json& token : golden.at("loader")) {
    tokenizer->add_special_token(token.get<std::string>());
  }
  EXPECT_EQ(tokenizer->size(), golden.at("size").get<int32_t>());
  std::set<std::string> specials;
  for (int32_t id = 0; id < tokenizer->size(); ++id) {
    if (tokenizer->is_special(id)) specials.insert(tokenizer->token_text(id));
  }
  EXPECT_EQ(specials, golden.at("specials").get<std::set<std::string>>());
  const Json& pad = golden.at("pad");
  EXPECT_EQ(tokenizer->pad_id(),
            pad.is_null() ? std::nullopt : std::optional<int32_t>(pad.get<int32_t>()));
  for (const Json& item : golden.at("encode")) {
    EXPECT_EQ(tokenizer->encode(item[0].get<std::string>(), true),
              item[1].get<std::vector<int32_t>>())
        << item[0];
  }
  for (const Json& item : golden.at("decode")) {
    const auto ids = item[0].get<std::vector<int32_t>>();
    check_decode(*tokenizer, ids, item[1].get<std::string>(), item[2].get<std::string>());
  }
  fs::remove_all(folder);
}

INSTANTIATE_TEST_SUITE_P(All, SlowGolden,
                         ::testing::Values("legacy", "modern", "modern_end", "legacy_added",
                                           "modern_added", "legacy_loader", "modern_loader",
                                           "modern_flags"),
                         [](const auto& entry) { return std::string(entry.param); });

TEST(LlamaTokenizer, RefusesIdsOutsideTheVocabulary) {
  const auto tokenizer = load_tokenizer(kData / "bpe_llama.model");
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_EQ(tokenizer->eos_id(), 2);
  EXPECT_EQ(tokenizer->pad_id(), std::nullopt);
  EXPECT_TRUE(tokenizer->adds_bos());
  for (const int32_t id : {-1, tokenizer->size(), 1 << 30}) {
    const std::vector<int32_t> ids = {1, id};
    EXPECT_THROW(tokenizer->decode(ids), Error);
  }
}

TEST(LlamaTokenizer, AddsATokenOnce) {
  const auto tokenizer = load_tokenizer(kData / "bpe_llama.model");
  const int32_t size = tokenizer->size();
  EXPECT_EQ(tokenizer->add_special_token("<im_patch>"), size);
  EXPECT_EQ(tokenizer->add_special_token("<im_patch>"), size);
  EXPECT_EQ(tokenizer->add_special_token("</s>"), 2);
  EXPECT_EQ(tokenizer->size(), size + 1);
  EXPECT_TRUE(tokenizer->is_special(size));
  EXPECT_EQ(tokenizer->id_of("<im_patch>"), size);
  EXPECT_EQ(tokenizer->id_of("no such piece"), std::nullopt);
  EXPECT_THROW(tokenizer->add_special_token(""), Error);
}

TEST(LlamaTokenizer, RepairsInvalidUtf8) {
  const auto tokenizer = load_tokenizer(kData / "bpe_llama.model");
  EXPECT_EQ(tokenizer->encode("a\xFF"), tokenizer->encode("a\xEF\xBF\xBD"));
}

}  // namespace
}  // namespace llava::text
