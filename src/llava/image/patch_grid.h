// SPDX-License-Identifier: Apache-2.0
//
// PatchGrid: which tokens of a picture show which part of it, so that what tokens are worth can be
// drawn over the picture.
#pragma once

#include <cstdint>
#include <vector>

#include "llava/image/layout.h"

namespace llava::image {

/// A rectangle in fractions of the original picture's width and height. It may begin before 0 and
/// end behind 1.
struct FractionRect {
  double x = 0;
  double y = 0;
  double width = 1;
  double height = 1;
};

/// Which views of a picture a grid is of.
enum class GridView : uint8_t {
  kWhole,  ///< the first, which shows the whole picture (a crop of its middle with CLIP's square)
  kTiles,  ///< the tiles of an anyres picture together
};

/// The patches of some of a picture's views, as a grid of equal cells over the original picture.
/// Rows and columns that show nothing but padding are not in it; outer ones that show some reach
/// beyond the picture.
struct PatchGrid {
  GridView view = GridView::kWhole;
  int32_t rows = 0;
  int32_t columns = 0;
  FractionRect rectangle;
  /// For each patch, row by row, its token among the layout's num_tokens.
  std::vector<int32_t> tokens;
};

/// The grids of a picture: the whole view's, then that of its tiles. Class tokens and newlines are
/// in none. Tiles have no grid where a view is no multiple of the patch (the strip that the tower
/// leaves out lies between the tiles then) and where the map is shrunk (anyres_max_N).
///
/// Units: `patch_size` and `tile_size` in pixels, as in the vision tower and in ImageGeometry.
/// Throws: Error(kInternal) for sizes that are not those of the layout.   Threads: safe.
std::vector<PatchGrid> plan_patch_grids(const ImageLayout& layout, int32_t patch_size,
                                        int32_t tile_size);

}  // namespace llava::image
