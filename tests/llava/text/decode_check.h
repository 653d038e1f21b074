// SPDX-License-Identifier: Apache-2.0
//
// Decoding all ids at once and one after the other, with and without special tokens.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "llava/text/stream_decoder.h"
#include "llava/text/tokenizer.h"

namespace llava::text {

/// What a stream of these ids shows in the end.
inline std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                            bool skip) {
  StreamDecoder stream(tokenizer, skip);
  std::string text;
  for (const int32_t id : ids) text += stream.push(id);
  return text + stream.finish();
}

/// Expects `all` with the special tokens and `skipped` without, in both ways.
inline void check_decode(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                         const std::string& all, const std::string& skipped) {
  const auto shown = ::testing::PrintToString(ids);
  EXPECT_EQ(tokenizer.decode(ids, false), all) << shown;
  EXPECT_EQ(tokenizer.decode(ids, true), skipped) << shown;
  EXPECT_EQ(streamed(tokenizer, ids, false), all) << shown;
  EXPECT_EQ(streamed(tokenizer, ids, true), skipped) << shown;
}

}  // namespace llava::text
