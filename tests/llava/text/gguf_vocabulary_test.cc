// SPDX-License-Identifier: Apache-2.0
//
// Vocabularies as GGUF files carry them. The ids expected for byte-level families are those that
// the published tokenizers library gives for the same vocabulary (tests/data/text).
#include "llava/text/gguf_vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/text/load_tokenizer.h"
#include "llava/text/sentencepiece_model.h"
#include "support/paths.h"

namespace llava::text {
namespace {

namespace fs = std::filesystem;
const fs::path kData = test_data() / "text";

/// The vocabulary of one of the golden byte-level tokenizers, as GGUF writes it.
GgufVocabulary byte_level(const Json& tokenizer, const std::string& pre) {
  GgufVocabulary vocabulary;
  vocabulary.source = "test.gguf";
  vocabulary.model = "gpt2";
  vocabulary.pre = pre;
  const Json& vocab = tokenizer.at("model").at("vocab");
  vocabulary.tokens.resize(vocab.size());
  for (const auto& [token, id] : vocab.items()) vocabulary.tokens.at(id.get<std::size_t>()) = token;
  vocabulary.token_types.assign(vocab.size(), 1);
  for (const Json& token : tokenizer.at("added_tokens")) {
    vocabulary.token_types.at(token.at("id").get<std::size_t>()) = 3;
  }
  for (const Json& merge : tokenizer.at("model").at("merges")) {
    vocabulary.merges.push_back(merge.is_array() ? merge[0].get<std::string>() + " " +
                                                       merge[1].get<std::string>()
                                                 : merge.get<std::string>());
  }
  vocabulary.bos_id = 1;
  vocabulary.eos_id = 2;
  return vocabulary;
}

struct FamilyCase {
  const char* golden;
  const char* pre;
  bool adds_eos;
};

class GgufFamilies : public ::testing::TestWithParam<FamilyCase> {};

TEST_P(GgufFamilies, AgreeWithTheLibrary) {
  const Json tokenizers = read_json_file(kData / "tokenizers.json");
  const Json goldens = read_json_file(kData / "tokenizer_goldens.json");
  const FamilyCase& family = GetParam();
  GgufVocabulary vocabulary = byte_level(tokenizers.at(family.golden), family.pre);
  const Json& golden = goldens.at(family.golden);
  const auto cases = golden.at("encode");
  const bool adds_bos = cases[0][1].size() > 0;  // the ids of the empty text
  vocabulary.add_bos = adds_bos;
  vocabulary.add_eos = family.adds_eos;
  const auto tokenizer = make_gguf_tokenizer(vocabulary);
  EXPECT_EQ(tokenizer->adds_bos(), adds_bos);
  EXPECT_EQ(tokenizer->eos_id(), 2);
  for (const Json& item : cases) {
    const auto text = item[0].get<std::string>();
    const auto ids = item[1].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer->encode(text), ids) << text;
    EXPECT_EQ(tokenizer->decode(ids), item[2].is_boolean() ? text : item[2].get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, GgufFamilies,
                         ::testing::Values(FamilyCase{"gpt2", "gpt-2", false},
                                           FamilyCase{"ignore_merges", "llama-bpe", false},
                                           FamilyCase{"llama3", "dbrx", false},
                                           FamilyCase{"qwen2", "qwen2", false},
                                           FamilyCase{"smollm2", "smollm", true}),
                         [](const auto& entry) { return std::string(entry.param.golden); });

GgufVocabulary llama_vocabulary() {
  const SentencePieceModel model = read_sentencepiece_model(kData / "bpe_llama.model");
  GgufVocabulary vocabulary;
  vocabulary.source = "test.gguf";
  vocabulary.model = "llama";
  for (const SentencePiece& piece : model.pieces) {
    vocabulary.tokens.push_back(piece.text);
    vocabulary.scores.push_back(piece.score);
    vocabulary.token_types.push_back(static_cast<int32_t>(piece.type));
  }
  vocabulary.bos_id = 1;
  vocabulary.eos_id = 2;
  vocabulary.unk_id = 0;
  return vocabulary;
}

TEST(GgufVocabulary, LlamaFollowsTheSlowClass) {
  const auto from_gguf = make_gguf_tokenizer(llama_vocabulary());
  const auto from_model = load_tokenizer(kData / "bpe_llama.model");
  const Json golden = read_json_file(kData / "slow_goldens.json").at("legacy");
  for (const Json& item : golden.at("encode")) {
    const auto text = item[0].get<std::string>();
    const auto ids = item[1].get<std::vector<int32_t>>();
    EXPECT_EQ(from_gguf->encode(text), ids) << text;
    EXPECT_EQ(from_gguf->decode(ids), from_model->decode(ids)) << text;
  }
  EXPECT_EQ(from_gguf->size(), from_model->size());
  EXPECT_EQ(from_gguf->bos_id(), 1);
  EXPECT_EQ(from_gguf->pad_id(), std::nullopt);
}

TEST(GgufVocabulary, TheDefaultCutsPunctuationAndThreeDigits) {
  const Json tokenizers = read_json_file(kData / "tokenizers.json");
  const auto tokenizer = make_gguf_tokenizer(byte_level(tokenizers.at("gpt2"), "default"));
  const std::vector<int32_t> ids = tokenizer->encode("a 1234567 b!!");
  EXPECT_EQ(tokenizer->decode(ids), "a 1234567 b!!");
  EXPECT_FALSE(tokenizer->adds_bos());
}

void expect_error(const GgufVocabulary& vocabulary, ErrorCode code, const std::string& expected) {
  try {
    make_gguf_tokenizer(vocabulary);
    ADD_FAILURE() << expected;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), ::testing::HasSubstr(expected));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("test.gguf"));
  }
}

TEST(GgufVocabulary, RefusesInconsistentMetadata) {
  const GgufVocabulary good = llama_vocabulary();
  const auto broken = [&](auto&& change) {
    GgufVocabulary vocabulary = good;
    change(vocabulary);
    return vocabulary;
  };
  using V = GgufVocabulary&;
  const auto bad = ErrorCode::kBadFormat;
  expect_error(broken([](V v) { v.model = "bert"; }), ErrorCode::kUnsupported, "'bert'");
  expect_error(broken([](V v) { v.tokens.clear(); }), bad, "tokens is missing");
  expect_error(broken([](V v) { v.scores.pop_back(); }), bad, "scores has");
  expect_error(broken([](V v) { v.token_types.pop_back(); }), bad, "token_type has");
  expect_error(broken([](V v) { v.token_types[5] = 77; }), bad, "type 77");
  expect_error(broken([](V v) { v.bos_id = 1'000'000; }), bad, "bos_token_id is 1000000");
  expect_error(broken([](V v) { v.eos_id = -1; }), bad, "eos_token_id is -1");
  expect_error(broken([](V v) { v.tokens[400] = v.tokens[401]; }), bad, "twice");
  expect_error(broken([](V v) {
                 v.model = "gpt2";
                 v.pre = "unheard-of";
               }),
               ErrorCode::kUnsupported, "'unheard-of'");
  expect_error(broken([](V v) {
                 v.model = "gpt2";
                 v.merges = {"nospace"};
               }),
               bad, "merge 0 is 'nospace'");
}

}  // namespace
}  // namespace llava::text
