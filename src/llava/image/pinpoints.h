// SPDX-License-Identifier: Apache-2.0
//
// image_grid_pinpoints, the candidate canvases of anyres, in pixels.
#pragma once

#include <cstdint>
#include <vector>

#include "llava/image/image_size.h"

namespace llava {
class JsonObject;
}

namespace llava::image {

/// Which number of a pair comes first: the original writes (width, height), Hugging Face
/// (height, width).
enum class PinpointOrder : uint8_t { kWidthFirst, kHeightFirst };

/// Reads the key in every spelling of read_grid_pairs(); counts of tiles are multiplied by
/// `tile_size`. The order of the file is kept.
///
/// Units: pixels; the result is width before height.
/// Throws: Error(kBadFormat) as read_grid_pairs() and for a side above 65536;
/// Error(kInvalidArgument) for counts of tiles whose size is none of 224, 336, 384, 448, 512.
/// Threads: safe.
std::vector<ImageSize> read_pinpoints(const JsonObject& object, PinpointOrder order,
                                      int32_t tile_size);

}  // namespace llava::image
