// SPDX-License-Identifier: Apache-2.0
//
// The text of a stream of tokens with stop strings equals that of the whole answer, for every kind
// of vocabulary: random ids with bytes that make no character, special tokens, emoji, and stop
// strings cut out of the very text, so that they lie across tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/core/random.h"
#include "llava/engine/checkpoint_text.h"
#include "llava/engine/stop.h"
#include "llava/text/fast_tokenizer.h"
#include "llava/text/load_tokenizer.h"
#include "llava/text/stream_decoder.h"
#include "llava/text/tokenizer_json.h"
#include "support/paths.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;
const fs::path kData = test_data() / "text";

// Some ids of encoded text, some of the first ones (bytes and special tokens), some of any.
std::vector<int32_t> random_ids(const text::Tokenizer& tokenizer, Generator& generator) {
  const std::string words[] = {
      " the answer",    "\xF0\x9F\x98\x80\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x9A\x80",
      "\n\n###",        "caf\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC",
      "  two  spaces ", "aababb"};
  std::vector<int32_t> ids;
  const auto below = [&](int32_t bound) {
    return static_cast<int32_t>(generator.below(static_cast<uint64_t>(std::max(1, bound))));
  };
  for (int part = 0; part < 12; ++part) {
    switch (generator.below(3)) {
      case 0: {
        const std::vector<int32_t> encoded =
            tokenizer.encode(words[generator.below(std::size(words))], false);
        ids.insert(ids.end(), encoded.begin(), encoded.end());
        break;
      }
      case 1:
        for (int i = 0; i < 4; ++i) ids.push_back(below(std::min(300, tokenizer.size())));
        break;
      default:
        for (int i = 0; i < 3; ++i) ids.push_back(below(tokenizer.size()));
    }
  }
  return ids;
}

// Pieces of the text, so that some match; never empty.
std::vector<std::string> random_stops(const std::string& text, Generator& generator) {
  std::vector<std::string> stops{"never there"};
  for (int i = 0; i < 2 && !text.empty(); ++i) {
    const std::size_t begin = generator.below(text.size());
    stops.push_back(text.substr(begin, 1 + generator.below(6)));
  }
  return stops;
}

struct Cut {
  std::size_t begin = std::string::npos;  ///< of the stop string that ends first
  std::size_t end = std::string::npos;
};

// The rule itself: the match that ends first, the longest of those.
Cut first_stop(const std::string& text, const std::vector<std::string>& stops) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    Cut cut;
    for (const std::string& stop : stops) {
      if (stop.size() > end || text.compare(end - stop.size(), stop.size(), stop) != 0) continue;
      if (cut.end == std::string::npos || end - stop.size() < cut.begin) {
        cut = {end - stop.size(), end};
      }
    }
    if (cut.end != std::string::npos) return cut;
  }
  return {};
}

void check(const text::Tokenizer& tokenizer, const std::string& name, int rounds) {
  SCOPED_TRACE(name);
  for (int round = 0; round < rounds; ++round) {
    SCOPED_TRACE(round);
    Generator generator(static_cast<uint64_t>(round));
    const std::vector<int32_t> ids = random_ids(tokenizer, generator);
    const bool skips_special = round % 2 == 0;
    const bool keeps_stop = round % 3 == 0;
    const std::string whole = tokenizer.decode(ids, skips_special);
    const std::vector<std::string> stops =
        round % 4 == 3 ? std::vector<std::string>{} : random_stops(whole, generator);
    text::StreamDecoder decoder(tokenizer, skips_special);
    StopChecker checker(stops, keeps_stop);
    std::string shown;
    for (const int32_t id : ids) shown += checker.push(decoder.push(id));
    shown += checker.push(decoder.finish());
    shown += checker.finish();
    const Cut cut = first_stop(whole, stops);
    ASSERT_EQ(checker.is_stopped(), cut.end != std::string::npos);
    ASSERT_EQ(shown, whole.substr(0, keeps_stop ? cut.end : cut.begin));
    if (checker.is_stopped()) {
      ASSERT_EQ(*checker.matched(), whole.substr(cut.begin, cut.end - cut.begin));
    }
  }
}

TEST(StreamedText, EqualsTheWholeForEveryVocabulary) {
  const Json tokenizers = read_json_file(kData / "tokenizers.json");
  for (const auto& [name, tokenizer] : tokenizers.items()) {
    check(text::FastTokenizer(text::parse_tokenizer_json(to_text(tokenizer), name)), name, 60);
  }
  for (const char* name :
       {"bpe_llama", "bpe_rules", "bpe_unused", "unigram_bytes", "unigram_nmt_nfkc"}) {
    for (const auto form : {text::TokenizerForm::kSlow, text::TokenizerForm::kFast}) {
      std::unique_ptr<text::Tokenizer> tokenizer;
      try {
        tokenizer = text::load_tokenizer(kData / (std::string(name) + ".model"), form);
      } catch (const Error& error) {
        ASSERT_EQ(error.code(), ErrorCode::kUnsupported) << name;
        continue;
      }
      tokenizer->add_special_token("<im_start>");
      check(*tokenizer, name, 60);
    }
  }
}

TEST(StreamedText, EqualsTheWholeForTheBundledModel) {
  std::unique_ptr<text::Tokenizer> tokenizer;
  try {
    tokenizer = open_checkpoint_text({}).tokenizer;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    GTEST_SKIP() << error.what();
  }
  check(*tokenizer, "bundled", 200);
}

}  // namespace
}  // namespace llava::engine
