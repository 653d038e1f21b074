// SPDX-License-Identifier: Apache-2.0
#include "llava/image/layout.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "llava/core/check.h"
#include "llava/core/error.h"

namespace llava::image {
namespace {

constexpr int32_t kMaxPatchesPerSide = 1024;
constexpr int64_t kMaxTokens = 1 << 22;

int64_t as_int(double value) { return static_cast<int64_t>(value); }

std::string size_text(ImageSize size) { return fmt::format("{}x{}", size.width, size.height); }

/// Python's `int(round(value, 7))`: the decimal rounding is exact, so it cannot be a
/// multiplication.
int64_t int_of_rounded_to_7_decimals(double value) {
  std::array<char, 64> text;
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed, 7);
  LLAVA_CHECK(end.ec == std::errc());
  double rounded = 0;
  std::from_chars(text.data(), end.ptr, rounded);
  return as_int(rounded);
}

/// Python's `a // b` of two positive floats, which is not floor(a / b) when the quotient rounds up.
double python_floor_divide(double a, double b) {
  const double quotient = (a - std::fmod(a, b)) / b;
  const double floor = std::floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

void check_geometry(const ImageGeometry& geometry) {
  if (geometry.tile_size < 1 || geometry.patches_per_side < 1 ||
      geometry.patches_per_side > kMaxPatchesPerSide) {
    fail(ErrorCode::kInvalidArgument,
         "image geometry has a tile of {} pixels and {} patches per side, expected both to be at "
         "least 1 and at most {} patches; check the vision tower's image_size and patch_size",
         geometry.tile_size, geometry.patches_per_side, kMaxPatchesPerSide);
  }
  if (geometry.mode != AspectMode::kAnyres) return;
  if (geometry.pinpoints.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "anyres needs image_grid_pinpoints and the configuration has none; add them or choose the "
         "aspect ratio 'pad'");
  }
  const int32_t tile = geometry.tile_size;
  for (const ImageSize& pinpoint : geometry.pinpoints) {
    const bool is_multiple = pinpoint.width >= tile && pinpoint.height >= tile &&
                             pinpoint.width % tile == 0 && pinpoint.height % tile == 0;
    if (!is_multiple || int64_t{pinpoint.width / tile} * (pinpoint.height / tile) + 1 > kMaxTiles) {
      fail(ErrorCode::kInvalidArgument,
           "grid pinpoint {} (width x height) is no multiple of the {}-pixel tile, or gives more "
           "than {} tiles; use the pinpoints made for this vision tower",
           size_text(pinpoint), tile, kMaxTiles);
    }
  }
  if (geometry.merge.is_spatial && geometry.has_class_token) {
    fail(ErrorCode::kInvalidArgument,
         "a spatial patch merge needs views without class token, and the configuration keeps it; "
         "set mm_vision_select_feature to 'patch' or mm_patch_merge_type to 'flat'");
  }
}

/// The candidate that keeps most of the picture, then wastes least, then comes first in the file.
ImageSize select_best_canvas(ImageSize original, const std::vector<ImageSize>& candidates) {
  ImageSize best;
  int64_t best_effective = 0;
  int64_t best_wasted = std::numeric_limits<int64_t>::max();
  for (const ImageSize& canvas : candidates) {
    const double scale = std::min(static_cast<double>(canvas.width) / original.width,
                                  static_cast<double>(canvas.height) / original.height);
    const int64_t effective =
        std::min(as_int(original.width * scale) * as_int(original.height * scale),
                 int64_t{original.width} * original.height);
    const int64_t wasted = int64_t{canvas.width} * canvas.height - effective;
    if (effective > best_effective || (effective == best_effective && wasted < best_wasted)) {
      best = canvas;
      best_effective = effective;
      best_wasted = wasted;
    }
  }
  return best;
}

/// Size of the picture when it is letterboxed into the canvas.
ImageSize letterboxed_size(ImageSize original, ImageSize canvas) {
  const double scale_width = static_cast<double>(canvas.width) / original.width;
  const double scale_height = static_cast<double>(canvas.height) / original.height;
  if (scale_width < scale_height) {
    const double height = std::ceil(original.height * scale_width);
    return {canvas.width, static_cast<int32_t>(std::min<double>(height, canvas.height))};
  }
  const double width = std::ceil(original.width * scale_height);
  return {static_cast<int32_t>(std::min<double>(width, canvas.width)), canvas.height};
}

/// One axis of a tile's rectangle in the source picture.
void map_to_source(int32_t tile_begin, int32_t tile_size, int32_t offset, int32_t resized,
                   int32_t original, int32_t& begin, int32_t& extent) {
  const int64_t from = std::clamp<int64_t>(int64_t{tile_begin} - offset, 0, resized);
  const int64_t to = std::clamp<int64_t>(int64_t{tile_begin} + tile_size - offset, 0, resized);
  begin = static_cast<int32_t>(from * original / resized);
  const int64_t end = to <= from ? begin : (to * original + resized - 1) / resized;
  extent = static_cast<int32_t>(end - begin);
}

void plan_anyres_tiles(const ImageGeometry& geometry, ImageLayout& layout) {
  const int32_t tile = geometry.tile_size;
  layout.canvas = select_best_canvas(layout.original, geometry.pinpoints);
  layout.grid = {layout.canvas.width / tile, layout.canvas.height / tile};
  layout.resized = letterboxed_size(layout.original, layout.canvas);
  layout.paste_offset = {(layout.canvas.width - layout.resized.width) / 2,
                         (layout.canvas.height - layout.resized.height) / 2};
  for (int32_t row = 0; row < layout.grid.height; ++row) {
    for (int32_t column = 0; column < layout.grid.width; ++column) {
      TileRect rect;
      map_to_source(column * tile, tile, layout.paste_offset.width, layout.resized.width,
                    layout.original.width, rect.x, rect.width);
      map_to_source(row * tile, tile, layout.paste_offset.height, layout.resized.height,
                    layout.original.height, rect.y, rect.height);
      layout.tiles.push_back(rect);
    }
  }
}

/// Rows and columns cut from each side of the patch map, where the letterbox was.
ImageSize unpadding(ImageSize original, ImageSize map, AnyresRules rules) {
  const auto truncate = [rules](double value) {
    return rules == AnyresRules::kHuggingFace ? int_of_rounded_to_7_decimals(value) : as_int(value);
  };
  const double original_aspect = static_cast<double>(original.width) / original.height;
  const double map_aspect = static_cast<double>(map.width) / map.height;
  if (original_aspect > map_aspect) {
    const double scale = static_cast<double>(map.width) / original.width;
    return {0, static_cast<int32_t>((map.height - truncate(original.height * scale)) / 2)};
  }
  const double scale = static_cast<double>(map.height) / original.height;
  return {static_cast<int32_t>((map.width - truncate(original.width * scale)) / 2), 0};
}

/// The anyres_max_N rule: a map with more than 1.1^2 times the patches of N views shrinks to them.
ImageSize shrunk_size(ImageSize kept, int32_t patches_per_side, int32_t max_views) {
  const double budget = static_cast<double>(max_views) * patches_per_side * patches_per_side;
  const double ratio = std::sqrt(static_cast<double>(kept.width) * kept.height / budget);
  if (!(ratio > 1.1)) return kept;
  return {static_cast<int32_t>(python_floor_divide(kept.width, ratio)),
          static_cast<int32_t>(python_floor_divide(kept.height, ratio))};
}

void plan_spatial_tokens(const ImageGeometry& geometry, ImageLayout& layout) {
  const int32_t side = geometry.patches_per_side;
  const int32_t patches = side * side;
  const MergeRule& merge = geometry.merge;
  const ImageSize map{layout.grid.width * side, layout.grid.height * side};
  const ImageSize cut =
      merge.has_unpad ? unpadding(layout.original, map, geometry.rules) : ImageSize{};
  layout.kept_patches = {map.width - 2 * cut.width, map.height - 2 * cut.height};
  layout.merged_patches = merge.has_unpad && merge.max_views > 0
                              ? shrunk_size(layout.kept_patches, side, merge.max_views)
                              : layout.kept_patches;
  const int64_t row_tokens = int64_t{layout.merged_patches.width} + (merge.has_unpad ? 1 : 0);
  layout.num_tokens = static_cast<int32_t>(patches + layout.merged_patches.height * row_tokens);
  if (layout.merged_patches != layout.kept_patches) return;

  layout.source_rows.reserve(static_cast<size_t>(layout.num_tokens));
  for (int32_t row = 0; row < patches; ++row) layout.source_rows.push_back(row);
  for (int32_t y = cut.height; y < map.height - cut.height; ++y) {
    for (int32_t x = cut.width; x < map.width - cut.width; ++x) {
      const int32_t tile = 1 + (y / side) * layout.grid.width + x / side;
      layout.source_rows.push_back(tile * patches + (y % side) * side + x % side);
    }
    if (merge.has_unpad) layout.source_rows.push_back(kNewlineRow);
  }
}

void plan_flat_tokens(const ImageGeometry& geometry, ImageLayout& layout) {
  const int32_t rows = layout.num_tiles() * layout.tokens_per_tile;
  for (int32_t row = 0; row < rows; ++row) layout.source_rows.push_back(row);
  const bool ends_with_newline = layout.num_tiles() == 1 && geometry.merge.is_spatial &&
                                 geometry.merge.has_unpad &&
                                 geometry.rules == AnyresRules::kHuggingFace;
  if (ends_with_newline) layout.source_rows.push_back(kNewlineRow);
  layout.num_tokens = static_cast<int32_t>(layout.source_rows.size());
}

/// What one view of CLIP's resize and centre crop shows.
TileRect centred_square(ImageSize original) {
  const int32_t side = std::min(original.width, original.height);
  return {(original.width - side) / 2, (original.height - side) / 2, side, side};
}

}  // namespace

ImageLayout plan_layout(ImageSize original, const ImageGeometry& geometry) {
  if (original.width < 1 || original.height < 1) {
    fail(ErrorCode::kInvalidArgument, "picture is {} pixels, expected at least 1x1",
         size_text(original));
  }
  check_geometry(geometry);
  ImageLayout layout;
  layout.original = original;
  layout.mode = geometry.mode;
  layout.tokens_per_tile =
      geometry.patches_per_side * geometry.patches_per_side + (geometry.has_class_token ? 1 : 0);
  layout.tiles.push_back(geometry.mode == AspectMode::kSquare && geometry.has_center_crop
                             ? centred_square(original)
                             : TileRect{0, 0, original.width, original.height});
  if (geometry.mode == AspectMode::kAnyres) plan_anyres_tiles(geometry, layout);
  if (int64_t{layout.num_tiles()} * (layout.tokens_per_tile + geometry.patches_per_side) >
      kMaxTokens) {
    fail(ErrorCode::kInvalidArgument,
         "{} tiles of {} tokens are more than the {} tokens one picture may have; use the "
         "pinpoints made for this vision tower",
         layout.num_tiles(), layout.tokens_per_tile, kMaxTokens);
  }
  if (geometry.mode == AspectMode::kAnyres && geometry.merge.is_spatial) {
    plan_spatial_tokens(geometry, layout);
  } else {
    plan_flat_tokens(geometry, layout);
  }
  return layout;
}

}  // namespace llava::image
