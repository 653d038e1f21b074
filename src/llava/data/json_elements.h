// SPDX-License-Identifier: Apache-2.0
//
// Where each sample of a JSON file lies, found in one pass that builds nothing, so that files
// larger than memory can be read sample by sample.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace llava::data {

/// The bytes of one element.
struct ElementRange {
  uint64_t begin = 0;
  uint64_t size = 0;
};

/// Longest text of one sample.
inline constexpr uint64_t kMaxElementBytes = uint64_t{64} << 20;

/// Finds the elements of one JSON array, or the values of JSON lines (told apart by the first
/// character), and checks all of the text on the way: JSON as the standard has it, nothing more.
///
/// Throws: Error(kBadFormat) naming `source`, the byte (from 0) and the sample for text that is no
/// JSON, nests deeper than core's parser allows, or has a sample of more than kMaxElementBytes.
/// Threads: safe.   Source: RFC 8259.
std::vector<ElementRange> find_elements(std::string_view text, std::string_view source);

}  // namespace llava::data
