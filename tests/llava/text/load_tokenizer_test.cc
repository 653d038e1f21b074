// SPDX-License-Identifier: Apache-2.0
//
// Which files decide what when a folder is opened, and the messages for folders that cannot be.
#include "llava/text/load_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "support/paths.h"

namespace llava::text {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int32_t>;

/// Opens tokenizer.json texts and bare parts of them; `expected` is a piece of the message.
void expect_json_error(const std::string& text, ErrorCode code, const std::string& expected) {
  const std::string name =
      std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()) +
      "_tokenizer.json";
  const fs::path path = fs::path(::testing::TempDir()) / name;
  write_file_atomically(path, text);
  try {
    load_tokenizer(path);
    ADD_FAILURE() << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), ::testing::HasSubstr(expected));
    EXPECT_THAT(error.what(), ::testing::HasSubstr(name));
  }
}

class LoadTokenizer : public ::testing::Test {
 protected:
  LoadTokenizer() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~LoadTokenizer() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& content) const {
    write_file_atomically(folder_ / name, content);
  }
  /// A character-level tokenizer.json whose template puts <s> in front.
  void write_fast(const std::string& added = "") const {
    write("tokenizer.json",
          R"({"added_tokens":[{"id":0,"content":"<s>","special":true,"normalized":false},
                              {"id":1,"content":"</s>","special":true,"normalized":false})" +
              added + R"(],
              "post_processor":{"type":"TemplateProcessing",
                "single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
                "special_tokens":{"<s>":{"id":"<s>","ids":[0],"tokens":["<s>"]}}},
              "decoder":{"type":"Fuse"},
              "model":{"type":"BPE","vocab":{"<s>":0,"</s>":1,"a":2,"b":3,"ab":4},"merges":["a b"]}})");
  }
  void copy_model() const {
    fs::copy_file(test_data() / "text" / "bpe_llama.model", folder_ / "tokenizer.model");
  }
  std::string message(TokenizerForm form, ErrorCode code) const {
    try {
      load_tokenizer(folder_, form);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      return error.what();
    }
    return "no error";
  }

  // A folder for each case: they run at the same time.
  fs::path folder_ = fs::path(::testing::TempDir()) /
                     (std::string("load_tokenizer_") +
                      ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(LoadTokenizer, TokenizerJsonDecidesForOtherClasses) {
  write_fast();
  write("tokenizer_config.json",
        R"({"tokenizer_class":"PreTrainedTokenizerFast","add_bos_token":false,"add_eos_token":true,
            "bos_token":"<s>","eos_token":"</s>"})");
  const auto tokenizer = load_tokenizer(folder_);
  EXPECT_EQ(tokenizer->encode("aba"), (Ids{0, 4, 2}));
  EXPECT_EQ(tokenizer->encode("aba", false), (Ids{4, 2}));
  EXPECT_TRUE(tokenizer->adds_bos());
}

TEST_F(LoadTokenizer, SettingsDecideForTheLlamaClasses) {
  write_fast();
  for (const char* name : {"LlamaTokenizer", "LlamaTokenizerFast"}) {
    const std::string head =
        R"({"bos_token":"<s>","eos_token":"</s>","unk_token":null,"tokenizer_class":")" +
        std::string(name) + "\"";
    write("tokenizer_config.json", head + "}");
    EXPECT_EQ(load_tokenizer(folder_)->encode("ab"), (Ids{0, 4}));
    write("tokenizer_config.json", head + R"(,"add_bos_token":false,"add_eos_token":true})");
    const auto tokenizer = load_tokenizer(folder_);
    EXPECT_EQ(tokenizer->encode("ab"), (Ids{4, 1}));
    EXPECT_FALSE(tokenizer->adds_bos());
  }
  write("tokenizer_config.json",
        R"({"tokenizer_class":"LlamaTokenizer","bos_token":null,"add_bos_token":true})");
  EXPECT_THAT(message(TokenizerForm::kFast, ErrorCode::kBadFormat),
              ::testing::HasSubstr("add_bos_token is true, but there is no bos_token"));
}

// The map and added_tokens.json count only when the configuration lists no added tokens itself.
TEST_F(LoadTokenizer, FollowsThePrecedenceOfTheFiles) {
  copy_model();
  write("special_tokens_map.json", R"({"pad_token":"<unk>"})");
  write("added_tokens.json", R"({"<x>":600})");
  write("tokenizer_config.json", R"({"tokenizer_class":"LlamaTokenizer","pad_token":null})");
  const auto from_map = load_tokenizer(folder_, TokenizerForm::kSlow);
  EXPECT_EQ(from_map->pad_id(), 0);
  EXPECT_EQ(from_map->id_of("<x>"), 600);
  EXPECT_FALSE(from_map->is_special(600));
  write("tokenizer_config.json",
        R"({"tokenizer_class":"LlamaTokenizer","pad_token":null,"added_tokens_decoder":
            {"600":{"content":"<y>","special":true}}})");
  const auto from_config = load_tokenizer(folder_, TokenizerForm::kSlow);
  EXPECT_EQ(from_config->pad_id(), std::nullopt);
  EXPECT_EQ(from_config->id_of("<x>"), std::nullopt);
  EXPECT_EQ(from_config->id_of("<y>"), 600);
}

TEST_F(LoadTokenizer, AddsSpecialTokensThatTheVocabularyLacks) {
  write_fast(R"(,{"id":5,"content":"<image>","special":true,"normalized":false})");
  write("tokenizer_config.json",
        R"({"tokenizer_class":"PreTrainedTokenizerFast","pad_token":"<pad>","eos_token":"</s>",
            "extra_special_tokens":{"image_token":"<image>"}})");
  const auto tokenizer = load_tokenizer(folder_);
  EXPECT_EQ(tokenizer->pad_id(), 6);
  EXPECT_EQ(tokenizer->size(), 7);
  EXPECT_EQ(tokenizer->named_token("image_token"), "<image>");
  EXPECT_EQ(tokenizer->named_token("eos_token"), "</s>");
  EXPECT_EQ(tokenizer->named_token("bos_token"), "");
  EXPECT_EQ(tokenizer->encode("a<image>b", false), (Ids{2, 5, 3}));
  EXPECT_EQ(tokenizer->decode(Ids{2, 5, 3}, true), "ab");
  EXPECT_EQ(tokenizer->add_special_token("<im_patch>"), 7);
  EXPECT_EQ(tokenizer->encode("<im_patch>", false), Ids{7});
}

TEST_F(LoadTokenizer, PrefersTokenizerJsonUnlessTheSlowFormIsAskedFor) {
  copy_model();
  write_fast();
  write("tokenizer_config.json", R"({"added_tokens_decoder":{}})");
  EXPECT_EQ(load_tokenizer(folder_)->size(), 5);
  EXPECT_GT(load_tokenizer(folder_, TokenizerForm::kSlow)->size(), 500);
}

TEST_F(LoadTokenizer, ConvertsAModelForTheFastForm) {
  copy_model();
  const auto tokenizer = load_tokenizer(folder_, TokenizerForm::kFast);
  EXPECT_TRUE(tokenizer->adds_bos());
  // The fast form puts a space in front of every segment.
  const Ids ids = tokenizer->encode("the</s>the");
  ASSERT_EQ(ids.size(), 4u);
  EXPECT_EQ(ids[1], ids[3]);
  EXPECT_EQ(tokenizer->decode(ids, true), "the the");
}

TEST_F(LoadTokenizer, NamesWhatIsMissing) {
  EXPECT_THAT(message(TokenizerForm::kAutomatic, ErrorCode::kNotFound),
              ::testing::HasSubstr("no tokenizer.json or tokenizer.model"));
  write_fast();
  EXPECT_THAT(message(TokenizerForm::kSlow, ErrorCode::kNotFound),
              ::testing::HasSubstr("no tokenizer.model"));
  EXPECT_THROW(load_tokenizer(folder_ / "tokenizer.json", TokenizerForm::kSlow), Error);
  EXPECT_THROW(load_tokenizer(folder_ / "nothing.model"), Error);
}

TEST_F(LoadTokenizer, RefusesMalformedSettings) {
  copy_model();
  write("tokenizer_config.json", R"({"tokenizer_class":"T5Tokenizer"})");
  EXPECT_THAT(message(TokenizerForm::kSlow, ErrorCode::kUnsupported),
              ::testing::HasSubstr("T5Tokenizer"));
  write("tokenizer_config.json", R"({"legacy":"no"})");
  EXPECT_THAT(message(TokenizerForm::kSlow, ErrorCode::kBadFormat), ::testing::HasSubstr("legacy"));
  write("tokenizer_config.json", R"({"added_tokens_decoder":{"x":{"content":"<y>"}}})");
  EXPECT_THAT(message(TokenizerForm::kSlow, ErrorCode::kBadFormat),
              ::testing::HasSubstr("'x' is no token id"));
  write("tokenizer_config.json", R"({"added_tokens_decoder":{"-4":{"content":"<y>"}}})");
  EXPECT_THAT(message(TokenizerForm::kSlow, ErrorCode::kBadFormat), ::testing::HasSubstr("id -4"));
  write("tokenizer_config.json", R"({"bos_token":7})");
  EXPECT_THAT(message(TokenizerForm::kSlow, ErrorCode::kBadFormat),
              ::testing::HasSubstr("bos_token"));
  write("tokenizer_config.json", "[]");
  EXPECT_THAT(message(TokenizerForm::kSlow, ErrorCode::kBadFormat),
              ::testing::HasSubstr("tokenizer_config.json"));
}

TEST(TokenizerJson, RefusesMalformedFiles) {
  const auto bad = ErrorCode::kBadFormat;
  const auto unsupported = ErrorCode::kUnsupported;
  const auto with_model = [](const std::string& vocab, const std::string& rest) {
    return R"({"model":{"type":"BPE","vocab":)" + vocab + rest + "}";
  };
  const std::string plain = R"("merges":[]})";
  expect_json_error("[1]", bad, "expected an object");
  expect_json_error("{", bad, "");
  expect_json_error(R"({"model":{"type":"Unigram","vocab":[]}})", unsupported, "'Unigram'");
  expect_json_error(R"({"model":{"type":"BPE","vocab":[],"merges":[]}})", bad, "vocab");
  expect_json_error(with_model(R"({"a":2147483647})", "," + plain), bad, "id 2147483647");
  expect_json_error(with_model(R"({"a":0,"b":0})", "," + plain), bad, "share the id 0");
  expect_json_error(with_model(R"({"a":-1})", "," + plain), bad, "the id -1");
  expect_json_error(with_model(R"({"a":0})", R"(,"merges":["a a"]})"), bad, "no token");
  expect_json_error(with_model(R"({"a":0})", R"(,"merges":["a"]})"), bad, "expected two tokens");
  expect_json_error(with_model(R"({"a":0})", R"(,"merges":[],"unk_token":"u"})"), bad, "'u'");
  expect_json_error(with_model(R"({"a":0})", R"(,"merges":[],"dropout":0.1})"), unsupported,
                    "dropout");
  const auto with_part = [&](const std::string& part) {
    return with_model(R"({"a":0})", "," + plain + "," + part);
  };
  expect_json_error(with_part(R"("normalizer":{"type":"Precompiled"})"), unsupported,
                    "normalizer 'Precompiled'");
  expect_json_error(with_part(R"("normalizer":{})"), bad, "type");
  expect_json_error(with_part(R"("pre_tokenizer":{"type":"BertPreTokenizer"})"), unsupported,
                    "pre_tokenizer 'BertPreTokenizer'");
  expect_json_error(with_part(R"("pre_tokenizer":{"type":"Metaspace","replacement":"__"})"), bad,
                    "one character");
  expect_json_error(
      with_part(
          R"("pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"})"),
      unsupported, "pattern '('");
  expect_json_error(
      with_part(R"("pre_tokenizer":{"type":"Split","pattern":{"String":"a"},"behavior":"Odd"})"),
      bad, "'Odd'");
  expect_json_error(with_part(R"("decoder":{"type":"WordPiece"})"), unsupported,
                    "decoder 'WordPiece'");
  expect_json_error(with_part(R"("post_processor":{"type":"BertProcessing"})"), unsupported,
                    "post_processor 'BertProcessing'");
  expect_json_error(
      with_part(
          R"("post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},
             {"Sequence":{"id":"A"}}],"special_tokens":{"<s>":{"ids":[9]}}})"),
      bad, "id 9 is put around");
  expect_json_error(with_part(R"("added_tokens":[{"id":1}])"), bad, "content");
}

}  // namespace
}  // namespace llava::text
