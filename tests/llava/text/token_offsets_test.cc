// SPDX-License-Identifier: Apache-2.0
#include "llava/text/token_offsets.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/text/fast_tokenizer.h"
#include "llava/text/load_tokenizer.h"
#include "llava/text/tokenizer_json.h"
#include "support/paths.h"

namespace llava::text {
namespace {

namespace fs = std::filesystem;
const fs::path kData = test_data() / "text";

// Ranges in order, each within the text, and no byte left out but white space.
void expect_cover(const std::string& text, const std::vector<ByteRange>& ranges) {
  std::size_t at = 0;
  for (const ByteRange& range : ranges) {
    ASSERT_GE(range.begin, at) << text;
    ASSERT_LE(range.begin, range.end) << text;
    for (; at < range.begin; ++at)
      ASSERT_TRUE(std::isspace(static_cast<unsigned char>(text[at]))) << text;
    at = range.end;
  }
  for (; at < text.size(); ++at)
    ASSERT_TRUE(std::isspace(static_cast<unsigned char>(text[at]))) << text;
}

// Text for which the vocabulary has no token has no bytes to be found by.
bool has_unknown(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  return std::any_of(ids.begin(), ids.end(),
                     [&](int32_t id) { return tokenizer.token_text(id) == "<unk>"; });
}

int64_t num_aligned(const Tokenizer& tokenizer, const Json& cases) {
  int64_t count = 0;
  for (const Json& item : cases) {
    const auto text = item[0].get<std::string>();
    const std::vector<int32_t> ids = tokenizer.encode(text);
    if (const auto ranges = token_offsets(tokenizer, text, ids)) {
      EXPECT_EQ(ranges->size(), ids.size());
      expect_cover(text, *ranges);
      ++count;
    } else if (has_unknown(tokenizer, ids)) {
      ++count;
    }
  }
  return count;
}

TEST(TokenOffsets, CoverTextsOfFastTokenizers) {
  const Json tokenizers = read_json_file(kData / "tokenizers.json");
  const Json goldens = read_json_file(kData / "tokenizer_goldens.json");
  // Those that change texts: by a normaliser, or by added tokens that eat what is around them.
  const std::set<std::string> changing = {"odd", "qwen2", "flags"};
  for (const auto& [name, golden] : goldens.items()) {
    const FastTokenizer tokenizer(parse_tokenizer_json(to_text(tokenizers.at(name)), name));
    const Json& cases = golden.at("encode");
    const int64_t count = num_aligned(tokenizer, cases);
    if (changing.contains(name)) continue;
    EXPECT_EQ(count, static_cast<int64_t>(cases.size())) << name;
  }
}

TEST(TokenOffsets, CoverTextsOfSlowTokenizers) {
  const Json goldens = read_json_file(kData / "slow_goldens.json");
  for (const auto& [name, golden] : goldens.items()) {
    const fs::path folder = fs::path(::testing::TempDir()) / ("offsets_" + name);
    fs::create_directories(folder);
    fs::copy_file(kData / (golden.at("model").get<std::string>() + ".model"),
                  folder / "tokenizer.model", fs::copy_options::overwrite_existing);
    for (const auto& [file, content] : golden.at("files").items()) {
      write_file_atomically(folder / file, to_text(content));
    }
    const auto tokenizer = load_tokenizer(folder, TokenizerForm::kSlow);
    for (const Json& token : golden.at("loader")) {
      tokenizer->add_special_token(token.get<std::string>());
    }
    const Json& cases = golden.at("encode");
    const int64_t count = num_aligned(*tokenizer, cases);
    EXPECT_EQ(count, static_cast<int64_t>(cases.size())) << name;
    fs::remove_all(folder);
  }
}

}  // namespace
}  // namespace llava::text
