// SPDX-License-Identifier: Apache-2.0
//
// image_grid_pinpoints as it is written: pairs of numbers, whose order (width or height first) the
// caller knows. Two folders that do not know each other read it: image, from a processor's file,
// and checkpoint, from config.json.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace llava {

class JsonObject;

/// Pairs in the order of the file.
struct GridPairs {
  std::vector<std::pair<int32_t, int32_t>> pairs;
  bool in_tiles = false;  ///< counts of tiles, "(2x3)", and not pixels
};

/// Reads a list of pairs, or a string in one of the original's forms: a Python literal
/// "[(336, 672), (672, 336)]", a range "(1x1),...,(6x6)" in tiles, or three or more single grids
/// "(1x2),(2x1),(2x2)". Two grids without "..." are a range too, as the original's trainer reads
/// them. An absent key and an empty list give no pairs.
///
/// Throws: Error(kBadFormat) naming source and key for anything else, for a number outside of
/// [1, 65536] and for more than 4096 pairs.   Threads: safe.
/// Source: LLaVA-NeXT, mm_utils (grid pinpoint strings).
GridPairs read_grid_pairs(const JsonObject& object, std::string_view key);

}  // namespace llava
