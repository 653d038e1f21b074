// SPDX-License-Identifier: Apache-2.0
//
// SentencePiece models against the published library, and malformed models.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/text/sentencepiece_model.h"
#include "llava/text/sentencepiece_processor.h"
#include "support/paths.h"

namespace llava::text {
namespace {

const std::filesystem::path kData = test_data() / "text";

class SentencePieceGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(SentencePieceGolden, AgreesWithTheLibrary) {
  static const Json goldens = read_json_file(kData / "sentencepiece_goldens.json");
  const std::string name = GetParam();
  const SentencePieceProcessor processor(read_sentencepiece_model(kData / (name + ".model")), name);
  for (const Json& item : goldens.at(name).at("encode")) {
    EXPECT_EQ(processor.encode(item[0].get<std::string>()), item[1].get<std::vector<int32_t>>())
        << item[0];
  }
  for (const Json& item : goldens.at(name).at("decode")) {
    const auto pieces = item[0].get<std::vector<std::string>>();
    const std::vector<std::string_view> views(pieces.begin(), pieces.end());
    EXPECT_EQ(processor.decode(views), item[1].get<std::string>()) << item[0];
  }
}

INSTANTIATE_TEST_SUITE_P(All, SentencePieceGolden,
                         ::testing::Values("bpe_llama", "bpe_rules", "bpe_unused", "unigram_bytes",
                                           "unigram_nmt_nfkc"),
                         [](const auto& entry) { return std::string(entry.param); });

TEST(SentencePieceModel, ReadsTheFlags) {
  const auto llama = read_sentencepiece_model(kData / "bpe_llama.model");
  EXPECT_EQ(llama.algorithm, SentencePieceAlgorithm::kBpe);
  EXPECT_TRUE(llama.byte_fallback);
  EXPECT_TRUE(llama.normalizer.add_dummy_prefix);
  EXPECT_FALSE(llama.normalizer.remove_extra_whitespaces);
  EXPECT_TRUE(llama.normalizer.precompiled_charsmap.empty());
  EXPECT_EQ(llama.bos_id, 1);
  EXPECT_EQ(llama.eos_id, 2);
  EXPECT_EQ(llama.pad_id, -1);
  const auto rules = read_sentencepiece_model(kData / "bpe_rules.model");
  EXPECT_TRUE(rules.treat_whitespace_as_suffix);
  EXPECT_TRUE(rules.normalizer.remove_extra_whitespaces);
  EXPECT_FALSE(rules.normalizer.precompiled_charsmap.empty());
  const auto nfkc = read_sentencepiece_model(kData / "unigram_nmt_nfkc.model");
  EXPECT_EQ(nfkc.algorithm, SentencePieceAlgorithm::kUnigram);
  EXPECT_FALSE(nfkc.normalizer.add_dummy_prefix);
}

/// The message of the error, whose code must be `code`.
std::string message_of(std::string_view bytes, ErrorCode code = ErrorCode::kBadFormat) {
  try {
    parse_sentencepiece_model(bytes, "model");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return "no error";
}

TEST(SentencePieceModel, RefusesMalformedFiles) {
  using namespace std::string_literals;
  EXPECT_THAT(message_of(""), ::testing::HasSubstr("no pieces"));
  EXPECT_THAT(message_of("\x0A\x7F"
                         "a"),
              ::testing::HasSubstr("offset 0 announces 127 bytes"));
  EXPECT_THAT(message_of("\x0A\xFF"), ::testing::HasSubstr("cut off"));
  EXPECT_THAT(message_of("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"),
              ::testing::HasSubstr("more than 10 bytes"));
  EXPECT_THAT(message_of("\x0B"), ::testing::HasSubstr("wire type 3"));
  EXPECT_THAT(message_of("\x00"s), ::testing::HasSubstr("no field"));
  EXPECT_THAT(message_of("\x08\x01"), ::testing::HasSubstr("wire type"));  // pieces as a number
  // Pieces: a message of a text "a" (field 1) and a type (field 3).
  const std::string unknown = "\x0A\x05\x0A\x01?\x18\x02";
  const std::string piece =
      "\x0A\x03\x0A\x01"
      "a";
  EXPECT_EQ(message_of(unknown + piece), "no error");
  EXPECT_THAT(message_of(piece), ::testing::HasSubstr("0 pieces of type unknown"));
  EXPECT_THAT(message_of(unknown + unknown), ::testing::HasSubstr("twice"));
  EXPECT_THAT(message_of(unknown + "\x0A\x02\x0A\x00"s), ::testing::HasSubstr("piece 1 is empty"));
  EXPECT_THAT(message_of(unknown + "\x0A\x03\x0A\x01\xFF"), ::testing::HasSubstr("UTF-8"));
  EXPECT_THAT(message_of(unknown + "\x0A\x05\x0A\x01"
                                   "b\x18\x09"),
              ::testing::HasSubstr("type 9"));
  EXPECT_THAT(message_of(unknown + "\x0A\x08\x0A\x01"
                                   "b\x15\x00\x00\xC0\x7F"s),
              ::testing::HasSubstr("not finite"));
  EXPECT_THAT(message_of(unknown + "\x12\x02\x18\x03", ErrorCode::kUnsupported),
              ::testing::HasSubstr("type word"));
  EXPECT_THAT(message_of(unknown + "\x12\x03\x98\x02\x01"),
              ::testing::HasSubstr("<0x00> is missing"));
  EXPECT_THAT(message_of(unknown + "\x2A\x03\x12\x01x", ErrorCode::kUnsupported),
              ::testing::HasSubstr("denormalizer"));
}

TEST(SentencePieceModel, EveryTruncationIsAnErrorOrAModel) {
  const std::string bytes = read_file(kData / "bpe_llama.model", 1u << 20);
  for (std::size_t size = 0; size < bytes.size(); size += 13) {
    try {
      parse_sentencepiece_model(std::string_view(bytes).substr(0, size), "truncated");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat) << error.what();
    }
  }
}

TEST(SentencePieceProcessor, RefusesABrokenCharacterMap) {
  SentencePieceModel model = read_sentencepiece_model(kData / "bpe_rules.model");
  const std::string blob = model.normalizer.precompiled_charsmap;
  for (const std::size_t size : {1, 4, 5, 8}) {
    model.normalizer.precompiled_charsmap = blob.substr(0, size);
    EXPECT_THROW(SentencePieceProcessor(model, "model"), Error) << size;
  }
  // Damage inside the trie may change the text, but stays inside the blob.
  for (std::size_t at = 4; at < blob.size(); at += 3) {
    model.normalizer.precompiled_charsmap = blob;
    model.normalizer.precompiled_charsmap[at] = '\xFF';
    SentencePieceProcessor(model, "model").encode("ss \n\xEF\xBC\x91 e\xCC\x81 fi");
  }
}

}  // namespace
}  // namespace llava::text
