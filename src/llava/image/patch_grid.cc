// SPDX-License-Identifier: Apache-2.0
#include "llava/image/patch_grid.h"

#include <algorithm>
#include <utility>

#include "llava/core/check.h"

namespace llava::image {
namespace {

constexpr int32_t kNoToken = -1;

/// One axis of a grid: of `num_cells` equal ones that cover `extent` pixels from `first` on, those
/// of [begin, end), over a picture of `size` pixels. Edges at whole pixels are exact.
struct Axis {
  double first = 0;
  double extent = 0;
  int32_t num_cells = 1;
  int32_t size = 1;
  int32_t begin = 0;
  int32_t end = num_cells;

  /// Where a cell begins, in pixels.
  double edge(int32_t index) const { return first + extent * index / num_cells; }
  /// Drops cells that do not touch the picture.
  void crop() {
    while (begin < end && edge(begin + 1) <= 0) ++begin;
    while (begin < end && edge(end - 1) >= size) --end;
  }
  void include(int32_t index) {
    begin = std::min(begin, index);
    end = std::max(end, index + 1);
  }
  /// Drops cells that are not among the other's.
  void keep(const Axis& other) {
    begin = std::max(begin, other.begin);
    end = std::max(begin, std::min(end, other.end));
  }
};

/// A grid of the cells in these axes; `token_at(row, column)` gives each its token.
template <class TokenAt>
PatchGrid grid_of(GridView view, const Axis& across, const Axis& down, const TokenAt& token_at) {
  PatchGrid grid{
      .view = view,
      .rows = down.end - down.begin,
      .columns = across.end - across.begin,
      .rectangle = {.x = across.edge(across.begin) / across.size,
                    .y = down.edge(down.begin) / down.size,
                    .width = (across.edge(across.end) - across.edge(across.begin)) / across.size,
                    .height = (down.edge(down.end) - down.edge(down.begin)) / down.size},
      .tokens = {}};
  for (int32_t row = down.begin; row < down.end; ++row) {
    for (int32_t column = across.begin; column < across.end; ++column) {
      const int32_t token = token_at(row, column);
      LLAVA_CHECK(token != kNoToken, "patch {}, {} of the grid has no token", row, column);
      grid.tokens.push_back(token);
    }
  }
  return grid;
}

/// The token of each row of the views' features, or kNoToken.
std::vector<int32_t> tokens_of_rows(const ImageLayout& layout) {
  std::vector<int32_t> tokens(static_cast<std::size_t>(layout.num_tiles()) *
                                  static_cast<std::size_t>(layout.tokens_per_tile),
                              kNoToken);
  for (std::size_t token = 0; token < layout.source_rows.size(); ++token) {
    const int32_t row = layout.source_rows[token];
    if (row != kNewlineRow) tokens.at(static_cast<std::size_t>(row)) = static_cast<int32_t>(token);
  }
  return tokens;
}

/// What the first view shows, in pixels of the original picture, padding included.
TileRect whole_view(const ImageLayout& layout) {
  if (layout.mode != AspectMode::kPad) return layout.tiles.front();
  const auto [width, height] = layout.original;
  const int32_t side = std::max(width, height);
  return {-((side - width) / 2), -((side - height) / 2), side, side};
}

class GridPlanner {
 public:
  GridPlanner(const ImageLayout& layout, int32_t patch_size, int32_t tile_size)
      : layout_(layout),
        side_(tile_size / patch_size),
        covered_(static_cast<double>(side_) * patch_size / tile_size),
        num_extra_(layout.tokens_per_tile - side_ * side_),
        tokens_(tokens_of_rows(layout)) {
    LLAVA_CHECK(num_extra_ == 0 || num_extra_ == 1, "{} tokens in a view of {}x{} patches",
                layout.tokens_per_tile, side_, side_);
  }

  PatchGrid whole() const {
    const TileRect view = whole_view(layout_);
    Axis across{static_cast<double>(view.x), view.width * covered_, side_, layout_.original.width};
    Axis down{static_cast<double>(view.y), view.height * covered_, side_, layout_.original.height};
    across.crop();
    down.crop();
    const bool is_shrunk = layout_.source_rows.empty();
    return grid_of(GridView::kWhole, across, down, [&](int32_t row, int32_t column) {
      return is_shrunk ? row * side_ + column : token_of(0, row, column);
    });
  }

  bool has_tiles() const {
    return layout_.num_tiles() > 1 && !layout_.source_rows.empty() && covered_ == 1.0;
  }

  /// Has no cells when the merge kept none that show the picture.
  PatchGrid tiles() const {
    const int32_t columns = layout_.grid.width * side_;
    const int32_t rows = layout_.grid.height * side_;
    const auto tile_token = [&](int32_t row, int32_t column) {
      return token_of(1 + row / side_ * layout_.grid.width + column / side_, row % side_,
                      column % side_);
    };
    Axis across{static_cast<double>(-layout_.paste_offset.width),
                static_cast<double>(layout_.canvas.width), columns, layout_.resized.width};
    Axis down{static_cast<double>(-layout_.paste_offset.height),
              static_cast<double>(layout_.canvas.height), rows, layout_.resized.height};
    across.crop();
    down.crop();
    // The merge may have cut more from the sides; what it keeps is a rectangle.
    Axis kept_across{.begin = columns, .end = 0};
    Axis kept_down{.begin = rows, .end = 0};
    for (int32_t row = 0; row < rows; ++row) {
      for (int32_t column = 0; column < columns; ++column) {
        if (tile_token(row, column) == kNoToken) continue;
        kept_across.include(column);
        kept_down.include(row);
      }
    }
    across.keep(kept_across);
    down.keep(kept_down);
    return grid_of(GridView::kTiles, across, down, tile_token);
  }

 private:
  int32_t token_of(int32_t tile, int32_t row, int32_t column) const {
    return tokens_.at(static_cast<std::size_t>(tile * layout_.tokens_per_tile + num_extra_ +
                                               row * side_ + column));
  }

  const ImageLayout& layout_;
  int32_t side_;
  double covered_;
  int32_t num_extra_;  ///< tokens in front of a view's patches
  std::vector<int32_t> tokens_;
};

}  // namespace

std::vector<PatchGrid> plan_patch_grids(const ImageLayout& layout, int32_t patch_size,
                                        int32_t tile_size) {
  LLAVA_CHECK(patch_size > 0 && tile_size >= patch_size && !layout.tiles.empty());
  const GridPlanner planner(layout, patch_size, tile_size);
  std::vector<PatchGrid> grids{planner.whole()};
  if (planner.has_tiles()) grids.push_back(planner.tiles());
  std::erase_if(grids, [](const PatchGrid& grid) { return grid.tokens.empty(); });
  return grids;
}

}  // namespace llava::image
