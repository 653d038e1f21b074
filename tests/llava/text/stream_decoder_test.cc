// SPDX-License-Identifier: Apache-2.0
//
// Streams: pieces end between characters and add up to the whole text. The golden tests compare the
// sums for every tokenizer; here is what is held back, and long streams.
#include "llava/text/stream_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/text/fast_tokenizer.h"
#include "llava/text/load_tokenizer.h"
#include "llava/text/tokenizer_json.h"
#include "llava/text/utf8.h"
#include "support/paths.h"

namespace llava::text {
namespace {

namespace fs = std::filesystem;
const fs::path kData = test_data() / "text";

std::unique_ptr<Tokenizer> open_fast(const std::string& name) {
  const Json tokenizers = read_json_file(kData / "tokenizers.json");
  return std::make_unique<FastTokenizer>(parse_tokenizer_json(to_text(tokenizers.at(name)), name));
}

TEST(StreamDecoder, NeverCutsACharacter) {
  const std::string text = "\xD0\x96\xF0\x9F\x98\x80\xEA\xB0\x81 x\xC3\xA9";
  for (const char* name : {"gpt2", "prepend", "llama3"}) {
    const auto tokenizer = open_fast(name);
    StreamDecoder stream(*tokenizer, true);
    std::string sum;
    for (const int32_t id : tokenizer->encode(text)) {
      const std::string piece = stream.push(id);
      EXPECT_TRUE(is_valid_utf8(piece)) << name;
      EXPECT_EQ(piece.find(kReplacementCharacter), std::string::npos) << name;
      sum += piece;
    }
    EXPECT_EQ(sum + stream.finish(), text) << name;
  }
}

TEST(StreamDecoder, EmitsWordsAtOnce) {
  const auto tokenizer = load_tokenizer(kData / "bpe_llama.model");
  StreamDecoder stream(*tokenizer, true);
  for (const int32_t id : tokenizer->encode("the dog and the cat")) {
    const std::string piece = stream.push(id);
    EXPECT_EQ(piece.empty(), id == 1) << id;
  }
  EXPECT_EQ(stream.finish(), "");
}

TEST(StreamDecoder, FlushesUnfinishedBytes) {
  const auto tokenizer = load_tokenizer(kData / "bpe_llama.model");
  StreamDecoder stream(*tokenizer, true);
  EXPECT_EQ(stream.push(*tokenizer->id_of("<0xE2>")), "");
  EXPECT_EQ(stream.push(*tokenizer->id_of("<0x82>")), "");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD\xEF\xBF\xBD");
  // The stream starts again.
  EXPECT_EQ(stream.push(*tokenizer->id_of("a")), "a");
}

TEST(StreamDecoder, SurvivesBadIds) {
  const auto tokenizer = load_tokenizer(kData / "bpe_llama.model");
  StreamDecoder stream(*tokenizer, true);
  EXPECT_EQ(stream.push(*tokenizer->id_of("a")), "a");
  EXPECT_THROW(stream.push(-5), Error);
  EXPECT_EQ(stream.push(*tokenizer->id_of("b")), "b");
}

/// Long random streams: far beyond the window that is decoded at a time.
void check_long_streams(const Tokenizer& tokenizer, const std::string& name) {
  for (uint32_t seed = 0; seed < 6; ++seed) {
    std::mt19937 random(seed);
    std::uniform_int_distribution<int32_t> any(0, tokenizer.size() - 1);
    // Odd seeds leave out the first ids, where special and byte tokens are.
    std::uniform_int_distribution<int32_t> words(std::min(300, tokenizer.size() - 2),
                                                 tokenizer.size() - 1);
    std::vector<int32_t> ids;
    for (int i = 0; i < 500; ++i) ids.push_back(seed % 2 == 0 ? any(random) : words(random));
    for (const bool skip : {true, false}) {
      StreamDecoder stream(tokenizer, skip);
      std::string sum;
      for (const int32_t id : ids) sum += stream.push(id);
      sum += stream.finish();
      EXPECT_EQ(sum, tokenizer.decode(ids, skip)) << name << ", seed " << seed << ", skip " << skip;
    }
  }
}

TEST(StreamDecoder, LongStreamsEqualTheWhole) {
  for (const char* name : {"gpt2", "qwen2", "prepend", "flags", "metaspace_always_split",
                           "metaspace_first_whole", "metaspace_never_whole"}) {
    check_long_streams(*open_fast(name), name);
  }
  for (const char* name : {"bpe_llama", "unigram_bytes", "unigram_nmt_nfkc", "bpe_rules"}) {
    const auto tokenizer = load_tokenizer(kData / (std::string(name) + ".model"));
    tokenizer->add_special_token("<im_start>");
    check_long_streams(*tokenizer, name);
  }
}

}  // namespace
}  // namespace llava::text
