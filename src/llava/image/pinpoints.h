// SPDX-License-Identifier: Apache-2.0
//
// Reading of image_grid_pinpoints, the candidate canvases of anyres, in every spelling that
// published configurations use.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string_view>
#include <vector>

#include "llava/image/image_size.h"

namespace llava::image {

/// Which number of a pair comes first: the original writes (width, height), Hugging Face
/// (height, width).
enum class PinpointOrder : uint8_t { kWidthFirst, kHeightFirst };

/// Reads a list of pairs, or a string in one of the original's forms: a Python literal
/// "[(336, 672), (672, 336)]", a range "(1x1),...,(6x6)" in tiles, or three or more single grids
/// "(1x2),(2x1),(2x2)". Two grids without "..." are a range too, as the original's trainer reads
/// them. Grids are multiplied by `tile_size`. The order of the file is kept.
///
/// Units: pixels; the result is width before height.
/// Throws: Error(kBadFormat) naming `source` for anything else, for a side outside of
/// [1, 65536] and for more than 4096 pinpoints; Error(kInvalidArgument) for grids with a tile that
/// is none of 224, 336, 384, 448, 512.   Threads: safe.
/// Source: LLaVA-NeXT, mm_utils (grid pinpoint strings).
std::vector<ImageSize> parse_pinpoints(const nlohmann::json& value, PinpointOrder order,
                                       int32_t tile_size, std::string_view source);

}  // namespace llava::image
