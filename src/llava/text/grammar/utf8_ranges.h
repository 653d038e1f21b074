// SPDX-License-Identifier: Apache-2.0
//
// Ranges of code points as ranges of bytes, so that characters can be matched a byte at a time.
#pragma once

#include <cstdint>
#include <vector>

#include "llava/text/grammar/syntax.h"

namespace llava::text::grammar {

/// Bytes first to last, both included.
struct ByteRange {
  uint8_t first = 0;
  uint8_t last = 0;

  friend auto operator<=>(const ByteRange&, const ByteRange&) = default;
};

/// One to four ranges: any byte of each, one after another, is the UTF-8 of a character.
using ByteRanges = std::vector<ByteRange>;

/// The UTF-8 forms of exactly the code points of normalized ranges.
std::vector<ByteRanges> utf8_ranges(const std::vector<CharRange>& ranges);

}  // namespace llava::text::grammar
