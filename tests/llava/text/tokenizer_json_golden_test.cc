// SPDX-License-Identifier: Apache-2.0
//
// tokenizer.json against the published tokenizers library: ids and text of many strings for small
// tokenizers that together use every component (tests/data/text/make_tokenizer_goldens.py).
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/text/decode_check.h"
#include "llava/text/fast_tokenizer.h"
#include "llava/text/tokenizer_json.h"
#include "support/paths.h"

namespace llava::text {
namespace {

const std::filesystem::path kData = test_data() / "text";

class TokenizerJsonGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerJsonGolden, AgreesWithTheLibrary) {
  static const Json tokenizers = read_json_file(kData / "tokenizers.json");
  static const Json goldens = read_json_file(kData / "tokenizer_goldens.json");
  ASSERT_EQ(tokenizers.size(), goldens.size());
  const FastTokenizer tokenizer(
      parse_tokenizer_json(to_text(tokenizers.at(GetParam())), GetParam()));
  const Json& golden = goldens.at(GetParam());
  EXPECT_EQ(tokenizer.size(), golden.at("size").get<int32_t>());
  for (const Json& item : golden.at("encode")) {
    const auto text = item[0].get<std::string>();
    const auto ids = item[1].get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer.encode(text, true), ids) << text;
    check_decode(tokenizer, ids, item[2].is_boolean() ? text : item[2].get<std::string>(),
                 item[3].is_boolean() ? text : item[3].get<std::string>());
  }
  for (const Json& item : golden.at("decode")) {
    check_decode(tokenizer, item[0].get<std::vector<int32_t>>(), item[1].get<std::string>(),
                 item[2].get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerJsonGolden,
                         ::testing::Values("flags", "gpt2", "ignore_merges", "llama3",
                                           "metaspace_always_split", "metaspace_always_whole",
                                           "metaspace_first_split", "metaspace_first_whole",
                                           "metaspace_never_split", "metaspace_never_whole", "odd",
                                           "prefix_space", "prepend", "qwen2", "smollm2"),
                         [](const auto& entry) { return std::string(entry.param); });

}  // namespace
}  // namespace llava::text
