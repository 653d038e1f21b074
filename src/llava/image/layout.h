// SPDX-License-Identifier: Apache-2.0
//
// ImageLayout: the geometry of one picture, computed once. Preprocessing, prompt expansion, budget
// checks, label masks and feature merging all read it; nothing computes tiles or token counts
// again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llava/image/image_size.h"

namespace llava::image {

/// More tiles than any published grid (36) by far; bounds what a hostile config can ask for.
inline constexpr int64_t kMaxTiles = 1024;

/// How a picture becomes views.
enum class AspectMode : uint8_t {
  kSquare,  ///< resize the shortest edge, centre crop (CLIP), or resize to the exact size (SigLIP)
  kPad,     ///< pad to a square with the mean colour first
  kAnyres,  ///< whole picture first, then tiles of the best grid
};

/// Whose rules resolve ties and rounding (they differ in a few sizes).
enum class AnyresRules : uint8_t { kOriginal, kHuggingFace };

/// How the features of one picture's views become one token sequence.
struct MergeRule {
  bool is_spatial = false;  ///< spatial*: tokens follow the picture's raster; else views in order
  bool has_unpad = false;   ///< *_unpad: cut the letterbox, end each row with image_newline
  int32_t max_views = 0;    ///< anyres_max_N: shrink the map above this many views; 0 = never
};

/// Everything the layout depends on besides the picture's size.
struct ImageGeometry {
  AspectMode mode = AspectMode::kSquare;
  AnyresRules rules = AnyresRules::kOriginal;
  MergeRule merge;
  int32_t tile_size = 336;           ///< S, side of one view in pixels
  int32_t patches_per_side = 24;     ///< g = S / patch
  bool has_class_token = false;      ///< views keep their class token (cls_patch / full)
  bool has_center_crop = true;       ///< kSquare: one view shows the centred square (CLIP), not all
  std::vector<ImageSize> pinpoints;  ///< candidate canvases in file order, (width, height)
};

/// A rectangle of the source picture, in source pixels, that one view shows (clipped to it).
struct TileRect {
  int32_t x = 0;
  int32_t y = 0;
  int32_t width = 0;
  int32_t height = 0;
};

/// Marks a token that is the learned image_newline vector.
inline constexpr int32_t kNewlineRow = -1;

/// The geometry of one picture.
struct ImageLayout {
  ImageSize original;
  AspectMode mode = AspectMode::kSquare;
  /// Views in the order the tower sees them; with anyres the whole picture first.
  std::vector<TileRect> tiles;
  /// Anyres only: the chosen canvas, its tiles across and down, where the resized picture lies.
  ImageSize canvas;
  ImageSize grid;
  ImageSize resized;
  ImageSize paste_offset;
  /// Rows of features each view yields (patches, plus the class token when kept).
  int32_t tokens_per_tile = 0;
  /// Spatial merges: patches kept after unpadding, and after the anyres_max_N shrink.
  ImageSize kept_patches;
  ImageSize merged_patches;
  /// Rows that enter the language model for this picture.
  int32_t num_tokens = 0;
  /// For each of those rows the row of the views' features [tiles * tokens_per_tile], or
  /// kNewlineRow. Empty when the map is shrunk (merged_patches differs from kept_patches).
  std::vector<int32_t> source_rows;

  int32_t num_tiles() const { return static_cast<int32_t>(tiles.size()); }
};

/// Plans the views and tokens of a picture of the given size.
///
/// A single view is not merged under the original's rules (its programs pass such pictures as one
/// tensor, which skips the merge): no image_newline then, whatever the merge rule says. Under the
/// Hugging Face rules an unpadding merge ends it with one newline.
/// Units: pixels.   Throws: Error(kInvalidArgument) for a size below 1x1 or a geometry that cannot
/// be (no pinpoints for anyres, pinpoints that are no multiple of the tile, class token with a
/// spatial merge).   Threads: safe.
/// Source: LLaVA-1.5 and 1.6 as published; docs/architecture.md, "One picture's geometry".
ImageLayout plan_layout(ImageSize original, const ImageGeometry& geometry);

}  // namespace llava::image
