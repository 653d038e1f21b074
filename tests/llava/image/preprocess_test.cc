// SPDX-License-Identifier: Apache-2.0
#include "llava/image/preprocess.h"

#include <gtest/gtest.h>

#include <numeric>

#include "llava/core/error.h"
#include "llava/image/fixtures.h"

namespace llava::image {
namespace {

ImageProcessorConfig clip336() {
  ImageProcessorConfig config;
  config.shortest_edge = 336;
  config.crop_size = {336, 336};
  return config;
}

ImageGeometry geometry_of(AspectMode mode) {
  ImageGeometry geometry;
  geometry.mode = mode;
  geometry.pinpoints = {{336, 672}, {672, 336}, {672, 672}, {1008, 336}, {336, 1008}};
  return geometry;
}

struct PublishedPixels {
  ImageSize size;
  AspectMode mode;
  uint32_t crc;
  double sum;
  std::vector<uint32_t> view_crcs;
};

TEST(Preprocess, EqualsPublishedChecksums) {
  const std::vector<PublishedPixels> cases = {
      {{640, 480}, AspectMode::kSquare, 0xd8d96e9a, 63272.743247, {0x88ea8657}},
      {{640, 480}, AspectMode::kPad, 0x6e1dc650, 46724.796154, {0xc7895f7d}},
      {{480, 640}, AspectMode::kSquare, 0x2ba8879a, 63436.058227, {0x7047addb}},
      {{480, 640}, AspectMode::kPad, 0xfe119198, 46842.042633, {0xd83a5198}},
      {{336, 336}, AspectMode::kSquare, 0xf04a50ec, 62748.759305, {0xc69c0cb4}},
      {{336, 336}, AspectMode::kPad, 0xf04a50ec, 62748.759305, {0xc69c0cb4}},
      {{500, 334}, AspectMode::kSquare, 0xaa62af4e, 63320.602023, {0xd4c66d31}},
      {{500, 334}, AspectMode::kPad, 0x544d055d, 40976.336307, {0xc3f155d8}},
      {{640, 480},
       AspectMode::kAnyres,
       0xe9b0aa9d,
       -314372.829020,
       {0xcf62f58b, 0x00b82553, 0xc9636c1d, 0xc16e6cb7, 0xcab17f3c}},
      {{1000, 300},
       AspectMode::kAnyres,
       0x478ad431,
       67611.047011,
       {0xd2c2a1fd, 0x65073211, 0x21a3c520, 0x7514919c}},
      {{336, 336},
       AspectMode::kAnyres,
       0x74e01e31,
       -441757.411443,
       {0xc69c0cb4, 0x0622f0af, 0x88176d22}},
      {{100, 60},
       AspectMode::kAnyres,
       0x9943f0fe,
       -710030.258226,
       {0x6c38f936, 0xd74805b0, 0xbd54895e}},
  };
  for (const PublishedPixels& expected : cases) {
    SCOPED_TRACE(testing::Message() << expected.size.width << "x" << expected.size.height
                                    << " mode " << static_cast<int>(expected.mode));
    const RgbImage image = synthetic(expected.size.width, expected.size.height);
    const ImageLayout layout = plan_layout(expected.size, geometry_of(expected.mode));
    const std::vector<RgbImage> views = render_views(image, clip336(), layout);
    ASSERT_EQ(views.size(), expected.view_crcs.size());
    for (size_t i = 0; i < views.size(); ++i) {
      EXPECT_EQ(crc32_of(views[i].pixels), expected.view_crcs[i]) << "view " << i;
    }
    const PixelValues pixels = preprocess(image, clip336(), layout);
    EXPECT_EQ(pixels.num_tiles, static_cast<int32_t>(views.size()));
    EXPECT_EQ(pixels.height, 336);
    EXPECT_EQ(crc32_of(pixels.values), expected.crc);
    EXPECT_NEAR(std::accumulate(pixels.values.begin(), pixels.values.end(), 0.0), expected.sum,
                1e-5);
  }
}

ImageProcessorConfig processor(const std::string& name, int32_t side) {
  ImageProcessorConfig config;
  if (name == "siglip") {
    config.shortest_edge = 0;
    config.exact_size = {side, side};
    config.do_center_crop = false;
    config.mean = config.std = {0.5, 0.5, 0.5};
  } else {
    config.shortest_edge = side;
    config.crop_size = {side, side};
  }
  return config;
}

ImageGeometry geometry_of(const std::string& mode, int32_t side, AnyresRules rules) {
  ImageGeometry geometry;
  geometry.rules = rules;
  geometry.tile_size = side;
  if (mode == "pad") geometry.mode = AspectMode::kPad;
  if (mode == "anyres" || mode == "onevision") geometry.mode = AspectMode::kAnyres;
  geometry.pinpoints = {
      {side, 2 * side}, {2 * side, side}, {2 * side, 2 * side}, {3 * side, side}, {side, 3 * side}};
  if (mode == "onevision") {
    geometry.pinpoints.clear();
    for (int32_t i = 1; i <= 6; ++i) {
      for (int32_t j = 1; j <= 6; ++j) geometry.pinpoints.push_back({i * side, j * side});
    }
  }
  if (rules == AnyresRules::kHuggingFace) {
    for (ImageSize& pinpoint : geometry.pinpoints) std::swap(pinpoint.width, pinpoint.height);
  }
  return geometry;
}

void compare_with_table(const std::string& file, AnyresRules rules) {
  const auto rows = read_table(data_folder() / file);
  ASSERT_GE(rows.size(), 100u);
  for (const auto& row : rows) {
    SCOPED_TRACE(row[0] + " " + row[1] + " " + row[2] + ": " + row[3] + "x" + row[4]);
    const int32_t side = std::stoi(row[2]);
    const RgbImage image = synthetic(std::stoi(row[3]), std::stoi(row[4]));
    const ImageLayout layout = plan_layout(image.size, geometry_of(row[1], side, rules));
    const PixelValues pixels = preprocess(image, processor(row[0], side), layout);
    EXPECT_EQ(pixels.num_tiles, std::stoi(row[5]));
    EXPECT_EQ(crc32_of(pixels.values), std::stoul(row[6], nullptr, 16));
  }
}

TEST(Preprocess, EqualsOriginalAtRandomSizes) {
  compare_with_table("pixels_original.txt", AnyresRules::kOriginal);
}

TEST(Preprocess, EqualsHuggingFaceAtRandomSizes) {
  compare_with_table("pixels_hf.txt", AnyresRules::kHuggingFace);
}

TEST(Preprocess, NormalisesKnownColours) {
  ImageProcessorConfig config = clip336();
  RgbImage view(ImageSize{1, 1});
  EXPECT_EQ(normalize_views({&view, 1}, config).values,
            (std::vector<float>{-1.7922626F, -1.7520971F, -1.4802198F}));
  view.pixels = {255, 255, 255};
  EXPECT_EQ(normalize_views({&view, 1}, config).values,
            (std::vector<float>{1.9303361F, 2.0748837F, 2.1458969F}));
  view.pixels = {122, 116, 104};
  EXPECT_EQ(normalize_views({&view, 1}, config).values,
            (std::vector<float>{-0.011254520F, -0.011196004F, -0.0013328948F}));
  config.do_normalize = false;
  EXPECT_EQ(normalize_views({&view, 1}, config).values[0], 122.0F / 255.0F);
  config.do_rescale = false;
  EXPECT_EQ(normalize_views({&view, 1}, config).values[0], 122.0F);
}

TEST(Preprocess, SwitchesOfTheProcessor) {
  const RgbImage image = synthetic(50, 30);
  const ImageLayout layout = plan_layout(image.size, {});
  ImageProcessorConfig config = clip336();
  config.do_resize = false;
  config.do_center_crop = false;
  std::vector<RgbImage> views = render_views(image, config, layout);
  EXPECT_EQ(views[0].size, image.size);
  EXPECT_EQ(views[0].pixels, image.pixels);

  // A crop larger than the picture puts it on black, the odd pixel on the far side.
  config.do_center_crop = true;
  config.crop_size = {53, 20};
  views = render_views(image, config, layout);
  EXPECT_EQ(views[0].size, (ImageSize{53, 20}));
  EXPECT_EQ(std::vector<uint8_t>(views[0].row(0), views[0].row(0) + 6), std::vector<uint8_t>(6, 0));
  EXPECT_TRUE(std::equal(image.row(5), image.row(5) + image.row_bytes(), views[0].row(0) + 6));

  config.do_resize = true;
  config.shortest_edge = 15;
  config.do_center_crop = false;
  EXPECT_EQ(render_views(image, config, layout)[0].size, (ImageSize{25, 15}));
  config.shortest_edge = 0;
  config.exact_size = {9, 7};
  EXPECT_EQ(render_views(image, config, layout)[0].size, (ImageSize{9, 7}));
}

TEST(Preprocess, ThinPicturesStayCheap) {
  for (const ImageSize size : {ImageSize{1, 100000}, ImageSize{100000, 1}, ImageSize{3, 1}}) {
    const RgbImage image = synthetic(size.width, size.height);
    for (const AspectMode mode : {AspectMode::kSquare, AspectMode::kPad, AspectMode::kAnyres}) {
      const PixelValues pixels = preprocess(image, clip336(), plan_layout(size, geometry_of(mode)));
      EXPECT_EQ(pixels.width, 336);
      EXPECT_EQ(pixels.height, 336);
    }
  }
}

TEST(Preprocess, RefusesWhatDoesNotFit) {
  const RgbImage image = synthetic(20, 20);
  EXPECT_THROW(preprocess(image, clip336(), plan_layout({21, 20}, {})), Error);
  ImageProcessorConfig other = clip336();
  other.crop_size = {224, 224};
  EXPECT_THROW(preprocess(image, other, plan_layout({20, 20}, geometry_of(AspectMode::kAnyres))),
               Error);
  const RgbImage thin = synthetic(1, 100000);
  ImageProcessorConfig uncropped = clip336();
  uncropped.do_center_crop = false;
  EXPECT_THROW(preprocess(thin, uncropped, plan_layout(thin.size, {})), Error);
  EXPECT_THROW(normalize_views({}, clip336()), Error);
}

}  // namespace
}  // namespace llava::image
