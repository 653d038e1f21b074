// SPDX-License-Identifier: Apache-2.0
//
// The reference token files of the specification folder, where it is present: the original
// package's tokenizers, those of two llava-hf layouts, and real vocabularies when
// LLAVA_TEST_TOKENIZERS names a folder that holds them (mistral.json, llama3.json, qwen.tiktoken;
// their origin is in the file).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/text/decode_check.h"
#include "llava/text/load_tokenizer.h"
#include "support/paths.h"
#include "tiktoken_file.h"

namespace llava::text {
namespace {

namespace fs = std::filesystem;
const fs::path kGolden = source_folder() / ".." / "shared" / "golden";

struct OriginalCase {
  const char* key;
  const char* folder;
  TokenizerForm form;
};

class OriginalTokens : public ::testing::TestWithParam<OriginalCase> {};

TEST_P(OriginalTokens, Agree) {
  const fs::path file = kGolden / "orig" / "tokens.json";
  if (!fs::exists(file)) GTEST_SKIP() << file << " is not there";
  const Json all = read_json_file(file);
  const Json& golden = all.at(GetParam().key);
  const auto tokenizer =
      load_tokenizer(kGolden / "orig" / "tokenizers" / GetParam().folder, GetParam().form);
  EXPECT_EQ(tokenizer->size(), golden.at("len").get<int32_t>());
  for (const Json& token : golden.at("all_special_tokens")) {
    EXPECT_TRUE(tokenizer->is_special(tokenizer->id_of(token.get<std::string>()).value()));
  }
  for (const Json& item : golden.at("encode")) {
    EXPECT_EQ(tokenizer->encode(item.at("text").get<std::string>()),
              item.at("ids").get<std::vector<int32_t>>())
        << item.at("text");
  }
  for (const char* part : {"encode", "decode"}) {
    for (const Json& item : golden.at(part)) {
      check_decode(*tokenizer, item.at("ids").get<std::vector<int32_t>>(),
                   item.at("decode").get<std::string>(), item.at("decode_skip").get<std::string>());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, OriginalTokens,
    ::testing::Values(
        OriginalCase{"legacy_false", "legacy_false", TokenizerForm::kSlow},
        OriginalCase{"legacy_true", "legacy_true", TokenizerForm::kSlow},
        OriginalCase{"legacy_true", "legacy_absent", TokenizerForm::kAutomatic},
        OriginalCase{"fast (o3_llava-v1.6-mistral-tiny, converted from tokenizer.model)",
                     "legacy_false", TokenizerForm::kFast},
        OriginalCase{"fast (o3_llava-v1.6-mistral-tiny, converted from tokenizer.model)",
                     "converted_fast", TokenizerForm::kFast}),
    [](const auto& entry) {
      return std::string(entry.param.folder) +
             (entry.param.form == TokenizerForm::kFast ? "_fast" : "_slow");
    });

std::unique_ptr<Tokenizer> open_named(const std::string& name, const Json& golden) {
  if (golden.contains("file")) {
    return load_tokenizer(kGolden / "hf" / golden.at("file").get<std::string>());
  }
  const char* folder = std::getenv("LLAVA_TEST_TOKENIZERS");
  if (folder == nullptr) return nullptr;
  if (name == "qwen_real") {
    const fs::path path = fs::path(folder) / "qwen.tiktoken";
    return fs::exists(path) ? open_qwen_tiktoken(read_file(path, 64u << 20)) : nullptr;
  }
  const fs::path path = fs::path(folder) / (name.substr(0, name.find('_')) + ".json");
  return fs::exists(path) ? load_tokenizer(path) : nullptr;
}

void check_strings(const Tokenizer& tokenizer, const Json& strings, const Json& golden) {
  const Json& special = golden.at("ids_special");
  const auto prefix = special.is_object() ? special.at("prefix").get<std::vector<int32_t>>()
                                          : std::vector<int32_t>();
  for (std::size_t i = 0; i < strings.size(); ++i) {
    const auto text = strings[i].get<std::string>();
    const auto plain = golden.at("ids")[i].get<std::vector<int32_t>>();
    std::vector<int32_t> ids = prefix;
    ids.insert(ids.end(), plain.begin(), plain.end());
    EXPECT_EQ(tokenizer.encode(text, false), plain) << text;
    EXPECT_EQ(tokenizer.encode(text, true), ids) << text;
    const Json& all = golden.at("decoded")[i];
    const Json& skipped = golden.at("decoded_skip_special")[i];
    check_decode(tokenizer, ids, all.is_boolean() ? text : all.get<std::string>(),
                 skipped.is_boolean() ? text : skipped.get<std::string>());
  }
}

class HfTokens : public ::testing::TestWithParam<const char*> {};

TEST_P(HfTokens, Agree) {
  const fs::path file = kGolden / "hf" / "tokens.json";
  if (!fs::exists(file)) GTEST_SKIP() << file << " is not there";
  const Json all = read_json_file(file);
  const Json& golden = all.at("tokenizers").at(GetParam());
  const auto tokenizer = open_named(GetParam(), golden);
  if (!tokenizer) GTEST_SKIP() << "LLAVA_TEST_TOKENIZERS names no folder with this vocabulary";
  check_strings(*tokenizer, all.at("strings"), golden);
  if (!golden.contains("file")) return;
  // The folder, whose settings decide about begin and end tokens, gives the same.
  const fs::path folder = (kGolden / "hf" / golden.at("file").get<std::string>()).parent_path();
  const auto from_folder = load_tokenizer(folder);
  check_strings(*from_folder, all.at("strings"), golden);
  EXPECT_EQ(from_folder->named_token("pad_token"), "<pad>");
  EXPECT_TRUE(from_folder->adds_bos());
}

INSTANTIATE_TEST_SUITE_P(All, HfTokens,
                         ::testing::Values("m1_llava15", "m2_next_mistral", "mistral_real",
                                           "llama3_real", "qwen_real"),
                         [](const auto& entry) { return std::string(entry.param); });

}  // namespace
}  // namespace llava::text
