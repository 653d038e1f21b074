// SPDX-License-Identifier: Apache-2.0
#include "llava/text/grammar/utf8_ranges.h"

#include <algorithm>
#include <string>

#include "llava/text/utf8.h"

namespace llava::text::grammar {
namespace {

std::string utf8_of(char32_t code_point) {
  std::string text;
  append_utf8(text, code_point);
  return text;
}

// `first` and `last` have the same number of bytes. Split until all bytes behind the first one that
// differs run over all their values.
void append_same_length(char32_t first, char32_t last, std::vector<ByteRanges>& result) {
  const std::string low = utf8_of(first);
  const std::string high = utf8_of(last);
  const std::size_t size = low.size();
  for (std::size_t tail = 1; tail < size; ++tail) {
    const char32_t mask = (char32_t{1} << 6 * tail) - 1;
    if ((first & ~mask) == (last & ~mask)) continue;
    if ((first & mask) != 0) {
      append_same_length(first, first | mask, result);
      append_same_length((first | mask) + 1, last, result);
      return;
    }
    if ((last & mask) != mask) {
      append_same_length(first, (last & ~mask) - 1, result);
      append_same_length(last & ~mask, last, result);
      return;
    }
  }
  ByteRanges ranges;
  for (std::size_t i = 0; i < size; ++i) {
    ranges.push_back({static_cast<uint8_t>(low[i]), static_cast<uint8_t>(high[i])});
  }
  result.push_back(std::move(ranges));
}

}  // namespace

std::vector<ByteRanges> utf8_ranges(const std::vector<CharRange>& ranges) {
  static constexpr CharRange kLengths[] = {
      {0, 0x7F}, {0x80, 0x7FF}, {0x800, 0xFFFF}, {0x10000, 0x10FFFF}};
  std::vector<ByteRanges> result;
  for (const CharRange& range : ranges) {
    for (const CharRange& length : kLengths) {
      const char32_t first = std::max(range.first, length.first);
      const char32_t last = std::min(range.last, length.last);
      if (first <= last) append_same_length(first, last, result);
    }
  }
  return result;
}

}  // namespace llava::text::grammar
