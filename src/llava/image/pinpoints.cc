// SPDX-License-Identifier: Apache-2.0
#include "llava/image/pinpoints.h"

#include <algorithm>
#include <array>

#include "llava/core/error.h"
#include "llava/core/grid_pairs.h"
#include "llava/core/json.h"

namespace llava::image {
namespace {

constexpr char kKey[] = "image_grid_pinpoints";
constexpr int32_t kMaxPinpointSide = 65536;
constexpr std::array<int32_t, 5> kTileSizes = {224, 336, 384, 448, 512};

}  // namespace

std::vector<ImageSize> read_pinpoints(const JsonObject& object, PinpointOrder order,
                                      int32_t tile_size) {
  const GridPairs grid = read_grid_pairs(object, kKey);
  if (grid.in_tiles &&
      std::find(kTileSizes.begin(), kTileSizes.end(), tile_size) == kTileSizes.end()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: image_grid_pinpoints counts tiles, which is defined for tiles of 224, 336, 384, 448 "
         "and 512 pixels and not for {}; list the pairs in pixels instead",
         object.source(), tile_size);
  }
  const int32_t unit = grid.in_tiles ? tile_size : 1;
  std::vector<ImageSize> pinpoints;
  pinpoints.reserve(grid.pairs.size());
  for (const auto& [first, second] : grid.pairs) {
    if (std::max(first, second) > kMaxPinpointSide / unit) {
      object.wrong_type(kKey, "sides of at most 65536 pixels");
    }
    const ImageSize size{first * unit, second * unit};
    pinpoints.push_back(order == PinpointOrder::kWidthFirst ? size
                                                            : ImageSize{size.height, size.width});
  }
  return pinpoints;
}

}  // namespace llava::image
