// SPDX-License-Identifier: Apache-2.0
#include "llava/image/layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "llava/core/error.h"
#include "llava/image/fixtures.h"

namespace llava::image {
namespace {

std::vector<ImageSize> five_pinpoints(int32_t s) {
  return {{s, 2 * s}, {2 * s, s}, {2 * s, 2 * s}, {3 * s, s}, {s, 3 * s}};
}

std::vector<ImageSize> swapped(std::vector<ImageSize> sizes) {
  for (ImageSize& size : sizes) std::swap(size.width, size.height);
  return sizes;
}

std::vector<ImageSize> onevision_pinpoints() {
  std::vector<ImageSize> pinpoints;
  for (int32_t i = 1; i <= 6; ++i) {
    for (int32_t j = 1; j <= 6; ++j) pinpoints.push_back({384 * i, 384 * j});
  }
  return pinpoints;
}

ImageGeometry anyres(int32_t tile, int32_t patches, AnyresRules rules = AnyresRules::kOriginal) {
  ImageGeometry geometry;
  geometry.mode = AspectMode::kAnyres;
  geometry.rules = rules;
  geometry.merge = {.is_spatial = true, .has_unpad = true};
  geometry.tile_size = tile;
  geometry.patches_per_side = patches;
  geometry.pinpoints = five_pinpoints(tile);
  if (rules == AnyresRules::kHuggingFace) geometry.pinpoints = swapped(geometry.pinpoints);
  return geometry;
}

struct PublishedLayout {
  ImageSize original, canvas, grid, resized, paste, kept;
  int32_t tokens, flat_tokens, hf_tokens;
};

TEST(Layout, EqualsPublishedTable) {
  const std::vector<PublishedLayout> cases = {
      {{336, 336}, {336, 672}, {1, 2}, {336, 336}, {0, 168}, {24, 24}, 1176, 1728, 1176},
      {{640, 480}, {672, 672}, {2, 2}, {672, 504}, {0, 84}, {48, 36}, 2340, 2880, 2340},
      {{480, 640}, {672, 672}, {2, 2}, {504, 672}, {84, 0}, {36, 48}, 2352, 2880, 2352},
      {{1000, 300}, {1008, 336}, {3, 1}, {1008, 303}, {0, 16}, {72, 22}, 2182, 2304, 2182},
      {{300, 1000}, {336, 1008}, {1, 3}, {303, 1008}, {16, 0}, {22, 72}, 2232, 2304, 2232},
      {{1920, 1080}, {672, 672}, {2, 2}, {672, 378}, {0, 147}, {48, 28}, 1948, 2880, 1948},
      {{704, 396}, {672, 672}, {2, 2}, {672, 378}, {0, 147}, {48, 26}, 1850, 2880, 1948},
      {{672, 672}, {672, 672}, {2, 2}, {672, 672}, {0, 0}, {48, 48}, 2928, 2880, 2928},
      {{500, 334}, {672, 336}, {2, 1}, {503, 336}, {84, 0}, {36, 24}, 1464, 1728, 1464},
      {{100, 60}, {336, 672}, {1, 2}, {336, 202}, {0, 235}, {24, 14}, 926, 1728, 1560},
      {{60, 100}, {336, 672}, {1, 2}, {336, 560}, {0, 56}, {24, 40}, 1576, 1728, 936},
      {{1344, 336}, {1008, 336}, {3, 1}, {1008, 252}, {0, 42}, {72, 18}, 1890, 2304, 1890},
      {{640, 429}, {672, 672}, {2, 2}, {672, 451}, {0, 110}, {48, 32}, 2144, 2880, 2144},
      {{1024, 899}, {672, 672}, {2, 2}, {672, 590}, {0, 41}, {48, 42}, 2634, 2880, 2634},
      {{1365, 767}, {672, 672}, {2, 2}, {672, 378}, {0, 147}, {48, 26}, 1850, 2880, 1850},
      {{4000, 3000}, {672, 672}, {2, 2}, {672, 505}, {0, 83}, {48, 36}, 2340, 2880, 2340},
      {{333, 999}, {336, 1008}, {1, 3}, {336, 1008}, {0, 0}, {24, 72}, 2376, 2304, 2376},
      {{205, 984}, {336, 1008}, {1, 3}, {210, 1008}, {63, 0}, {14, 72}, 1656, 2304, 1800},
      {{2000, 50}, {1008, 336}, {3, 1}, {1008, 26}, {0, 155}, {72, 2}, 722, 2304, 722},
      {{1, 1}, {336, 672}, {1, 2}, {336, 336}, {0, 168}, {24, 24}, 1176, 1728, 1176},
  };
  for (const PublishedLayout& expected : cases) {
    SCOPED_TRACE(testing::Message() << expected.original.width << "x" << expected.original.height);
    ImageGeometry geometry = anyres(336, 24);
    const ImageLayout layout = plan_layout(expected.original, geometry);
    EXPECT_EQ(layout.canvas, expected.canvas);
    EXPECT_EQ(layout.grid, expected.grid);
    EXPECT_EQ(layout.resized, expected.resized);
    EXPECT_EQ(layout.paste_offset, expected.paste);
    EXPECT_EQ(layout.kept_patches, expected.kept);
    EXPECT_EQ(layout.num_tokens, expected.tokens);
    geometry.merge = {.is_spatial = true};
    EXPECT_EQ(plan_layout(expected.original, geometry).num_tokens, expected.flat_tokens);
    geometry.merge = {};
    EXPECT_EQ(plan_layout(expected.original, geometry).num_tokens, expected.flat_tokens);
    EXPECT_EQ(plan_layout(expected.original, anyres(336, 24, AnyresRules::kHuggingFace)).num_tokens,
              expected.hf_tokens);
  }
}

TEST(Layout, EqualsPublishedTableOfTheFamily) {
  struct Row {
    ImageSize original;
    int32_t clip, siglip, max9, max4;
  };
  const std::vector<Row> rows = {
      {{336, 336}, 1176, 1513, 1485, 1485},   {{100, 100}, 1176, 1513, 1485, 1485},
      {{640, 480}, 2340, 2929, 2929, 2929},   {{480, 640}, 2352, 2943, 2943, 2943},
      {{1024, 899}, 2634, 3369, 6551, 3629},  {{1000, 400}, 2040, 2565, 3353, 3353},
      {{400, 1000}, 2076, 2605, 3402, 3402},  {{300, 1200}, 1944, 2511, 3753, 3753},
      {{1920, 1080}, 1948, 2379, 7269, 3649}, {{1080, 1920}, 1968, 2403, 7317, 3681},
      {{2304, 2304}, 2928, 3699, 7371, 3699}, {{4000, 3000}, 2340, 2929, 7309, 3627},
      {{1007, 1210}, 2544, 3159, 8765, 3679}, {{1, 4000}, 624, 837, 783, 783},
      {{4000, 1}, 576, 729, 757, 757},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(testing::Message() << row.original.width << "x" << row.original.height);
    EXPECT_EQ(plan_layout(row.original, anyres(336, 24)).num_tokens, row.clip);
    EXPECT_EQ(plan_layout(row.original, anyres(384, 27)).num_tokens, row.siglip);
    ImageGeometry onevision = anyres(384, 27);
    onevision.pinpoints = onevision_pinpoints();
    onevision.merge.max_views = 9;
    EXPECT_EQ(plan_layout(row.original, onevision).num_tokens, row.max9);
    onevision.merge.max_views = 4;
    EXPECT_EQ(plan_layout(row.original, onevision).num_tokens, row.max4);
  }
}

ImageGeometry geometry_of_set(const std::string& name, AnyresRules rules) {
  if (name == "clip336") return anyres(336, 24, rules);
  if (name == "clip56") return anyres(56, 4, rules);
  ImageGeometry geometry = anyres(384, 27, rules);
  if (name == "onevision") {
    geometry.pinpoints = swapped(onevision_pinpoints());
    geometry.merge.max_views = 9;
  }
  return geometry;
}

void compare_with_table(const std::string& file, AnyresRules rules) {
  const auto rows = read_table(data_folder() / file);
  ASSERT_GE(rows.size(), 500u);
  for (const auto& row : rows) {
    const auto number = [&](size_t column) { return std::stoi(row[column]); };
    SCOPED_TRACE(row[0] + " " + row[1] + "x" + row[2]);
    const ImageLayout layout = plan_layout({number(1), number(2)}, geometry_of_set(row[0], rules));
    EXPECT_EQ(layout.canvas, (ImageSize{number(3), number(4)}));
    EXPECT_EQ(layout.resized, (ImageSize{number(5), number(6)}));
    EXPECT_EQ(layout.paste_offset, (ImageSize{number(7), number(8)}));
    if (number(9) >= 0) {
      EXPECT_EQ(layout.merged_patches.width, number(9));
    }
    EXPECT_EQ(layout.merged_patches.height, number(10));
    EXPECT_EQ(layout.num_tokens, number(11));
  }
}

TEST(Layout, EqualsOriginalAtRandomSizes) {
  compare_with_table("geometry_original.txt", AnyresRules::kOriginal);
}

TEST(Layout, EqualsHuggingFaceAtRandomSizes) {
  compare_with_table("geometry_hf.txt", AnyresRules::kHuggingFace);
}

TEST(Layout, SourceRowsFollowTheRaster) {
  ImageGeometry geometry = anyres(28, 2);
  geometry.pinpoints = {{56, 28}};
  const ImageLayout layout = plan_layout({56, 28}, geometry);
  const int32_t n = kNewlineRow;
  // The whole picture's four patches, then the two tiles' patches row by row.
  EXPECT_EQ(layout.source_rows, (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 8, 9, n, 6, 7, 10, 11, n}));
  EXPECT_EQ(layout.tokens_per_tile, 4);
  EXPECT_EQ(layout.num_tiles(), 3);
}

TEST(Layout, SourceRowsOfEverySizeAreDistinctPatchesAndNewlines) {
  for (const auto& row : read_table(data_folder() / "geometry_original.txt")) {
    const ImageLayout layout = plan_layout({std::stoi(row[1]), std::stoi(row[2])},
                                           geometry_of_set(row[0], AnyresRules::kOriginal));
    ASSERT_EQ(layout.source_rows.size(), static_cast<size_t>(layout.num_tokens));
    std::set<int32_t> seen;
    int32_t newlines = 0;
    for (const int32_t source : layout.source_rows) {
      if (source == kNewlineRow) {
        ++newlines;
        continue;
      }
      ASSERT_TRUE(seen.insert(source).second) << "row " << source << " is used twice";
    }
    ASSERT_EQ(newlines, layout.merged_patches.height);
    ASSERT_TRUE(seen.empty() || *seen.rbegin() < layout.num_tiles() * layout.tokens_per_tile);
  }
}

TEST(Layout, ShrunkMapHasNoSourceRows) {
  ImageGeometry geometry = geometry_of_set("onevision", AnyresRules::kHuggingFace);
  const ImageLayout layout = plan_layout({2304, 2304}, geometry);
  EXPECT_EQ(layout.kept_patches, (ImageSize{162, 162}));
  EXPECT_EQ(layout.merged_patches, (ImageSize{81, 81}));
  EXPECT_TRUE(layout.source_rows.empty());
}

TEST(Layout, SingleViews) {
  ImageGeometry geometry;
  EXPECT_EQ(plan_layout({640, 480}, geometry).num_tokens, 576);
  geometry.has_class_token = true;
  EXPECT_EQ(plan_layout({640, 480}, geometry).num_tokens, 577);
  geometry.has_class_token = false;
  geometry.mode = AspectMode::kPad;
  geometry.merge = {.is_spatial = true, .has_unpad = true};
  EXPECT_EQ(plan_layout({640, 480}, geometry).num_tokens, 576);
  geometry.rules = AnyresRules::kHuggingFace;
  geometry.tile_size = 384;
  geometry.patches_per_side = 27;
  const ImageLayout layout = plan_layout({640, 480}, geometry);
  EXPECT_EQ(layout.num_tokens, 730);
  EXPECT_EQ(layout.source_rows.back(), kNewlineRow);
}

TEST(Layout, TileRectanglesShowTheSource) {
  const ImageLayout layout = plan_layout({640, 480}, anyres(336, 24));
  ASSERT_EQ(layout.num_tiles(), 5);
  const auto expect_rect = [&](size_t tile, TileRect expected) {
    const TileRect& rect = layout.tiles[tile];
    EXPECT_EQ(rect.x, expected.x);
    EXPECT_EQ(rect.y, expected.y);
    EXPECT_EQ(rect.width, expected.width);
    EXPECT_EQ(rect.height, expected.height);
  };
  expect_rect(0, {0, 0, 640, 480});
  expect_rect(1, {0, 0, 320, 240});
  expect_rect(4, {320, 240, 320, 240});
  ImageGeometry square;
  const TileRect centre = plan_layout({640, 480}, square).tiles[0];
  EXPECT_EQ(centre.x, 80);
  EXPECT_EQ(centre.width, 480);
  square.has_center_crop = false;
  EXPECT_EQ(plan_layout({640, 480}, square).tiles[0].width, 640);
}

void expect_refused(ImageSize size, const ImageGeometry& geometry, const std::string& word) {
  try {
    plan_layout(size, geometry);
    ADD_FAILURE() << "accepted, expected an error about " << word;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
  }
}

TEST(Layout, RefusesGeometryThatCannotBe) {
  expect_refused({0, 5}, {}, "0x5");
  ImageGeometry geometry = anyres(336, 24);
  geometry.pinpoints = {{336, 500}};
  expect_refused({5, 5}, geometry, "336x500");
  geometry.pinpoints = {{336 * 100, 336 * 100}};
  expect_refused({5, 5}, geometry, "tiles");
  geometry.pinpoints.clear();
  expect_refused({5, 5}, geometry, "image_grid_pinpoints");
  geometry = anyres(336, 24);
  geometry.has_class_token = true;
  expect_refused({5, 5}, geometry, "class token");
  geometry = anyres(336, 0);
  expect_refused({5, 5}, geometry, "patches");
}

}  // namespace
}  // namespace llava::image
