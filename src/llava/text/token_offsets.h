// SPDX-License-Identifier: Apache-2.0
//
// Which bytes of a text each of its tokens stands for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "llava/text/tokenizer.h"

namespace llava::text {

/// Bytes [begin, end) of a text; empty for a token that none of them made (a begin token, a space
/// that the tokenizer put in front).
struct ByteRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// The bytes of every token of `ids`, which are tokenizer.encode(text).
///
/// They are found by laying the tokens' own bytes along the text, so that an answer is proved by
/// the text itself. There is none when they do not fit: the tokenizer changes its texts (Unicode
/// normalisation) or has no token for some of it.
/// Threads: safe.
std::optional<std::vector<ByteRange>> token_offsets(const Tokenizer& tokenizer,
                                                    std::string_view text,
                                                    std::span<const int32_t> ids);

}  // namespace llava::text
