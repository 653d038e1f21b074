// SPDX-License-Identifier: Apache-2.0
#include "llava/image/resize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "llava/core/error.h"
#include "llava/image/fixtures.h"

namespace llava::image {
namespace {

struct PublishedResize {
  ImageSize source;
  uint32_t source_crc;
  ImageSize target;
  uint32_t target_crc;
  Rgb first, middle, last;
};

TEST(Resize, EqualsPublishedChecksums) {
  const std::vector<PublishedResize> cases = {
      {{640, 480}, 0x4b2b99b7, {448, 336}, 0x52b0949f, {5, 66, 0}, {174, 165, 89}, {103, 22, 137}},
      {{640, 480}, 0x4b2b99b7, {672, 504}, 0xd732204a, {0, 64, 0}, {230, 172, 48}, {59, 24, 191}},
      {{500, 334}, 0x02507b2c, {503, 336}, 0x047b9c53, {0, 64, 0}, {219, 212, 160}, {147, 254, 2}},
      {{100, 60}, 0xedd893ef, {560, 336}, 0x0a6e044d, {0, 63, 0}, {199, 205, 61}, {255, 245, 246}},
      {{1000, 300}, 0xd2deb68f, {336, 336}, 0xd2c2a1fd, {7, 67, 0}, {121, 6, 99}, {97, 45, 93}},
      {{37, 53}, 0x5947d38a, {336, 481}, 0x72b742d9, {0, 63, 0}, {171, 92, 147}, {0, 177, 80}},
      {{336, 336}, 0xc69c0cb4, {336, 336}, 0xc69c0cb4, {0, 64, 0}, {144, 128, 144}, {72, 184, 152}},
      {{300, 336}, 0x73ef2ec8, {336, 336}, 0x12212617, {0, 64, 0}, {4, 174, 41}, {60, 76, 0}},
  };
  for (const PublishedResize& expected : cases) {
    SCOPED_TRACE(testing::Message() << expected.source.width << "x" << expected.source.height);
    const RgbImage source = synthetic(expected.source.width, expected.source.height);
    ASSERT_EQ(crc32_of(source.pixels), expected.source_crc);
    const RgbImage result = resize(source, expected.target);
    EXPECT_EQ(crc32_of(result.pixels), expected.target_crc);
    const auto pixel = [&](int32_t x, int32_t y) {
      const uint8_t* at = result.row(y) + size_t{3} * x;
      return Rgb{at[0], at[1], at[2]};
    };
    EXPECT_EQ(pixel(0, 0), expected.first);
    EXPECT_EQ(pixel(expected.target.width / 2, expected.target.height / 2), expected.middle);
    EXPECT_EQ(pixel(expected.target.width - 1, expected.target.height - 1), expected.last);
  }
}

// The sums of the weights' low halves leave 32 bits here; the whole sums do not.
TEST(Resize, ManyTapsOfWhiteStayWhite) {
  RgbImage white({70001, 3});
  std::ranges::fill(white.pixels, uint8_t{255});
  for (const ImageSize target : {ImageSize{1, 1}, ImageSize{3, 2}, ImageSize{1, 3}}) {
    const RgbImage result = resize(white, target);
    EXPECT_TRUE(std::ranges::all_of(result.pixels, [](uint8_t x) { return x == 255; }));
  }
}

TEST(Resize, EqualsPillowAtRandomSizes) {
  const auto rows = read_table(data_folder() / "resize.txt");
  ASSERT_GE(rows.size(), 200u);
  for (const auto& row : rows) {
    SCOPED_TRACE(row[0] + "x" + row[1] + " to " + row[2] + "x" + row[3]);
    const RgbImage source = synthetic(std::stoi(row[0]), std::stoi(row[1]));
    const RgbImage result = resize(source, {std::stoi(row[2]), std::stoi(row[3])});
    EXPECT_EQ(crc32_of(result.pixels), std::stoul(row[4], nullptr, 16));
  }
}

/// The canvas with its border stored, the slow and obvious way.
RgbImage drawn(const Canvas& canvas) {
  RgbImage result(canvas.size);
  for (int32_t y = 0; y < canvas.size.height; ++y) {
    for (int32_t x = 0; x < canvas.size.width; ++x) {
      const int32_t image_x = x - canvas.offset.width;
      const int32_t image_y = y - canvas.offset.height;
      uint8_t* out = result.row(y) + size_t{3} * x;
      if (image_x >= 0 && image_x < canvas.image.size.width && image_y >= 0 &&
          image_y < canvas.image.size.height) {
        std::copy_n(canvas.image.row(image_y) + size_t{3} * image_x, 3, out);
      } else {
        out[0] = canvas.fill.red;
        out[1] = canvas.fill.green;
        out[2] = canvas.fill.blue;
      }
    }
  }
  return result;
}

TEST(Resize, WindowOfCanvasEqualsTheSamePartOfTheWhole) {
  const unsigned seed = 20250722;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto pick = [&](int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random);
  };
  for (int round = 0; round < 150; ++round) {
    const RgbImage image = synthetic(pick(1, 60), pick(1, 60));
    const ImageSize border{pick(0, 40), pick(0, 40)};
    const Canvas canvas{image,
                        {image.size.width + border.width, image.size.height + border.height},
                        {pick(0, border.width), pick(0, border.height)},
                        {122, 116, 104}};
    const bool keeps_width = pick(0, 5) == 0;
    const ImageSize target{keeps_width ? canvas.size.width : pick(1, 90), pick(1, 90)};
    const Window window{pick(0, target.width - 1), pick(0, target.height - 1), {1, 1}};
    Window part = window;
    part.size = {pick(1, target.width - window.x), pick(1, target.height - window.y)};
    const RgbImage whole = resize(drawn(canvas), target);
    const RgbImage result = resize_window(canvas, target, part);
    ASSERT_EQ(result.size, part.size);
    for (int32_t y = 0; y < part.size.height; ++y) {
      ASSERT_TRUE(std::equal(result.row(y), result.row(y) + result.row_bytes(),
                             whole.row(part.y + y) + size_t{3} * part.x))
          << "round " << round << " row " << y;
    }
  }
}

TEST(Resize, ThreadsShareALargePicture) {
  const RgbImage image = synthetic(1500, 1100);
  const Canvas canvas{image, {1500, 1500}, {0, 200}, {122, 116, 104}};
  const RgbImage alone = resize_window(canvas, {336, 336}, {10, 5, {300, 320}}, 1);
  for (const int num_threads : {2, 3}) {
    const RgbImage shared = resize_window(canvas, {336, 336}, {10, 5, {300, 320}}, num_threads);
    EXPECT_EQ(shared.pixels, alone.pixels) << num_threads;
  }
}

TEST(Resize, ThinPictureOnHugeCanvasStaysCheap) {
  const RgbImage line = synthetic(200000, 1);
  const RgbImage view = resize_window({line, {200000, 200000}, {0, 99999}, {122, 116, 104}},
                                      {336, 336}, {0, 0, {336, 336}});
  EXPECT_EQ(view.row(0)[0], 122);
  EXPECT_EQ(view.row(335)[2], 104);
}

TEST(Resize, RefusesEmptySizesAndWindowsOutside) {
  const RgbImage image = synthetic(4, 4);
  EXPECT_THROW(resize(image, {0, 5}), Error);
  EXPECT_THROW(resize(RgbImage(), {5, 5}), Error);
  EXPECT_THROW(resize_window({image, {4, 4}, {0, 0}, {}}, {8, 8}, {4, 4, {5, 4}}), Error);
  EXPECT_THROW(resize_window({image, {4, 4}, {1, 0}, {}}, {8, 8}, {0, 0, {8, 8}}), Error);
}

}  // namespace
}  // namespace llava::image
