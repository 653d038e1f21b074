// SPDX-License-Identifier: Apache-2.0
#include "llava/image/patch_grid.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace llava::image {
namespace {

constexpr int32_t kPatch = 14;

ImageGeometry geometry_of(AspectMode mode) {
  ImageGeometry geometry;
  geometry.mode = mode;
  geometry.pinpoints = {{336, 672}, {672, 336}, {672, 672}, {1008, 336}, {336, 1008}};
  return geometry;
}

std::vector<PatchGrid> grids_of(ImageSize size, const ImageGeometry& geometry) {
  return plan_patch_grids(plan_layout(size, geometry), kPatch, geometry.tile_size);
}

TEST(PatchGrid, OfASquareIsTheMiddleOfThePicture) {
  const auto grids = grids_of({1000, 500}, geometry_of(AspectMode::kSquare));
  ASSERT_EQ(grids.size(), 1u);
  EXPECT_EQ(grids[0].view, GridView::kWhole);
  EXPECT_EQ(grids[0].rows, 24);
  EXPECT_EQ(grids[0].columns, 24);
  EXPECT_DOUBLE_EQ(grids[0].rectangle.x, 0.25);
  EXPECT_DOUBLE_EQ(grids[0].rectangle.width, 0.5);
  EXPECT_DOUBLE_EQ(grids[0].rectangle.y, 0);
  EXPECT_DOUBLE_EQ(grids[0].rectangle.height, 1);
  for (int32_t i = 0; i < 576; ++i) EXPECT_EQ(grids[0].tokens[static_cast<std::size_t>(i)], i);
}

TEST(PatchGrid, LeavesOutWhatPaddingAdded) {
  // On 480 x 480 there are 120 rows of padding above and below, 6 patches of 20 pixels each.
  const auto grids = grids_of({480, 240}, geometry_of(AspectMode::kPad));
  ASSERT_EQ(grids.size(), 1u);
  EXPECT_EQ(grids[0].rows, 12);
  EXPECT_EQ(grids[0].columns, 24);
  EXPECT_DOUBLE_EQ(grids[0].rectangle.y, 0);
  EXPECT_DOUBLE_EQ(grids[0].rectangle.height, 1);
  EXPECT_EQ(grids[0].tokens.front(), 6 * 24);
  EXPECT_EQ(grids[0].tokens.back(), 18 * 24 - 1);
}

TEST(PatchGrid, SaysHowFarPatchesAtTheEdgeReachIntoThePadding) {
  // 125 rows of padding on either side: the patch of rows 120 to 140 shows five of them.
  const auto grids = grids_of({480, 230}, geometry_of(AspectMode::kPad));
  ASSERT_EQ(grids.size(), 1u);
  EXPECT_EQ(grids[0].rows, 12);
  EXPECT_DOUBLE_EQ(grids[0].rectangle.y, -5.0 / 230);
  EXPECT_DOUBLE_EQ(grids[0].rectangle.height, 240.0 / 230);
}

TEST(PatchGrid, SkipsTheClassToken) {
  ImageGeometry geometry = geometry_of(AspectMode::kPad);
  geometry.has_class_token = true;
  const auto grids = grids_of({336, 336}, geometry);
  ASSERT_EQ(grids.size(), 1u);
  EXPECT_EQ(grids[0].tokens.front(), 1);
  EXPECT_EQ(grids[0].tokens.back(), 576);
}

TEST(PatchGrid, KnowsWhatATowerLeavesOut) {
  ImageGeometry geometry = geometry_of(AspectMode::kSquare);
  geometry.has_center_crop = false;
  geometry.tile_size = 384;
  geometry.patches_per_side = 27;
  const auto grids = plan_patch_grids(plan_layout({100, 200}, geometry), kPatch, 384);
  ASSERT_EQ(grids.size(), 1u);
  EXPECT_EQ(grids[0].rows, 27);
  EXPECT_DOUBLE_EQ(grids[0].rectangle.width, 378.0 / 384);
  EXPECT_DOUBLE_EQ(grids[0].rectangle.height, 378.0 / 384);
  // With tiles the strips would lie between them.
  geometry.mode = AspectMode::kAnyres;
  geometry.pinpoints = {{768, 768}};
  EXPECT_EQ(plan_patch_grids(plan_layout({100, 200}, geometry), kPatch, 384).size(), 1u);
}

TEST(PatchGrid, OfTilesFollowsThePicturesRaster) {
  // 640 x 480 lies as 672 x 504 on 672 x 672, 84 rows from the top: six rows of patches.
  ImageGeometry geometry = geometry_of(AspectMode::kAnyres);
  for (const bool is_spatial : {false, true}) {
    for (const bool has_unpad : {false, true}) {
      geometry.merge = {.is_spatial = is_spatial, .has_unpad = is_spatial && has_unpad};
      const auto grids = grids_of({640, 480}, geometry);
      ASSERT_EQ(grids.size(), 2u);
      EXPECT_EQ(grids[0].rows, 24);
      EXPECT_DOUBLE_EQ(grids[0].rectangle.width, 1);
      EXPECT_EQ(grids[1].view, GridView::kTiles);
      EXPECT_EQ(grids[1].rows, 36);
      EXPECT_EQ(grids[1].columns, 48);
      EXPECT_DOUBLE_EQ(grids[1].rectangle.y, 0);
      EXPECT_DOUBLE_EQ(grids[1].rectangle.height, 1);
      EXPECT_DOUBLE_EQ(grids[1].rectangle.width, 1);
    }
  }
  // With unpad the second row begins behind the first one's newline.
  const auto grids = grids_of({640, 480}, geometry);
  EXPECT_EQ(grids[1].tokens[0], 576);
  EXPECT_EQ(grids[1].tokens[48], 576 + 49);
}

// Each token is in one grid at most, whole views are complete unless they are padded, and a grid
// covers the part of the picture that its views show.
TEST(PatchGrid, OfRandomPicturesIsWhole) {
  const auto seed = static_cast<uint32_t>(std::random_device{}());
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::uniform_int_distribution<int32_t> extent(1, 1500);
  for (int i = 0; i < 400; ++i) {
    const ImageSize size{extent(random), extent(random)};
    for (const AspectMode mode : {AspectMode::kSquare, AspectMode::kPad, AspectMode::kAnyres}) {
      ImageGeometry geometry = geometry_of(mode);
      geometry.rules = i % 2 == 0 ? AnyresRules::kOriginal : AnyresRules::kHuggingFace;
      geometry.merge = {.is_spatial = i % 3 > 0, .has_unpad = i % 3 > 1};
      const ImageLayout layout = plan_layout(size, geometry);
      const auto grids = plan_patch_grids(layout, kPatch, geometry.tile_size);
      SCOPED_TRACE(std::to_string(size.width) + "x" + std::to_string(size.height));
      ASSERT_GE(grids.size(), 1u);
      std::set<int32_t> seen;
      for (const PatchGrid& grid : grids) {
        ASSERT_EQ(static_cast<int32_t>(grid.tokens.size()), grid.rows * grid.columns);
        for (const int32_t token : grid.tokens) {
          ASSERT_GE(token, 0);
          ASSERT_LT(token, layout.num_tokens);
          ASSERT_TRUE(seen.insert(token).second);
        }
        const FractionRect& area = grid.rectangle;
        const double cell_width = area.width / grid.columns;
        const double cell_height = area.height / grid.rows;
        // No column or row lies outside of the picture.
        EXPECT_GT(area.x + cell_width, -1e-9);
        EXPECT_LT(area.x + area.width - cell_width, 1 + 1e-9);
        EXPECT_GT(area.y + cell_height, -1e-9);
        EXPECT_LT(area.y + area.height - cell_height, 1 + 1e-9);
      }
      if (mode == AspectMode::kPad) {
        EXPECT_LE(grids[0].rectangle.x, 1e-9);
        EXPECT_LE(grids[0].rectangle.y, 1e-9);
        EXPECT_GE(grids[0].rectangle.x + grids[0].rectangle.width, 1 - 1e-9);
        EXPECT_GE(grids[0].rectangle.y + grids[0].rectangle.height, 1 - 1e-9);
      } else {
        EXPECT_EQ(grids[0].tokens.size(), 576u);
      }
    }
  }
}

}  // namespace
}  // namespace llava::image
