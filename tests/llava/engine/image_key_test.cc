// SPDX-License-Identifier: Apache-2.0
//
// Keys of pictures follow what decides their features, and nothing else (serving 7.9, E6 and E7).
#include "llava/engine/image_key.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/random.h"
#include "llava/image/decode.h"
#include "llava/image/picture_recipe.h"

namespace llava::engine {
namespace {

image::RgbImage random_picture(image::ImageSize size, uint64_t seed) {
  Generator generator(seed);
  image::RgbImage picture(size);
  for (uint8_t& value : picture.pixels) value = static_cast<uint8_t>(generator.below(256));
  return picture;
}

ImageKey key_of(const image::RgbImage& picture, std::string_view recipe = "recipe") {
  return image_key({.size = picture.size, .pixels = picture.pixels, .recipe = recipe});
}

void put_le(std::string& out, uint32_t value, int num_bytes) {
  for (int i = 0; i < num_bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

// An uncompressed 24-bit BMP, rows from the bottom and padded to four bytes.
std::string encode_bmp(const image::RgbImage& picture) {
  const auto width = static_cast<uint32_t>(picture.size.width);
  const auto height = static_cast<uint32_t>(picture.size.height);
  const uint32_t row_bytes = (width * 3 + 3) / 4 * 4;
  std::string out = "BM";
  put_le(out, 54 + row_bytes * height, 4);
  put_le(out, 0, 4);
  put_le(out, 54, 4);
  put_le(out, 40, 4);
  put_le(out, width, 4);
  put_le(out, height, 4);
  put_le(out, 1, 2);
  put_le(out, 24, 2);
  for (int i = 0; i < 6; ++i) put_le(out, 0, 4);
  for (int32_t y = picture.size.height - 1; y >= 0; --y) {
    std::string row(row_bytes, '\0');
    for (uint32_t x = 0; x < width; ++x) {
      for (uint32_t c = 0; c < 3; ++c) {
        row[x * 3 + c] = static_cast<char>(picture.row(y)[x * 3 + 2 - c]);
      }
    }
    out += row;
  }
  return out;
}

// A text chunk behind the header of a PNG, such as a forged identifier would use. The checksum of
// an ancillary chunk is written right.
std::string with_text_chunk(const std::string& png, const std::string& text) {
  const std::string body = "tEXtImageUniqueID" + std::string(1, '\0') + text;
  uint32_t crc = 0xffffffffu;
  for (const char c : body) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0u);
  }
  std::string chunk;
  const auto put_be = [&chunk](uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) chunk.push_back(static_cast<char>(value >> shift));
  };
  put_be(static_cast<uint32_t>(body.size() - 4));
  chunk += body;
  put_be(~crc);
  constexpr std::size_t kAfterHeader = 8 + 25;
  return png.substr(0, kAfterHeader) + chunk + png.substr(kAfterHeader);
}

image::RgbImage decode_text(const std::string& file) {
  return image::decode(std::as_bytes(std::span(file)), "test");
}

TEST(ImageKey, IsOfThePixelsAndNotOfTheFile) {
  const image::RgbImage picture = random_picture({31, 17}, 1);
  const std::string png = image::encode_png(picture);
  EXPECT_EQ(key_of(decode_text(png)), key_of(picture));
  EXPECT_EQ(key_of(decode_text(encode_bmp(picture))), key_of(picture));
}

TEST(ImageKey, ForgedMetadataChangesNothing) {
  const image::RgbImage one = random_picture({20, 10}, 1);
  const image::RgbImage other = random_picture({20, 10}, 2);
  const std::string forged_one = with_text_chunk(image::encode_png(one), "same-id");
  const std::string forged_other = with_text_chunk(image::encode_png(other), "same-id");
  EXPECT_EQ(key_of(decode_text(forged_one)), key_of(one));
  EXPECT_NE(key_of(decode_text(forged_one)), key_of(decode_text(forged_other)));
}

TEST(ImageKey, EveryPixelCounts) {
  image::RgbImage picture = random_picture({9, 7}, 3);
  const ImageKey original = key_of(picture);
  std::set<ImageKey> keys{original};
  for (uint8_t& value : picture.pixels) {
    value ^= 1;
    keys.insert(key_of(picture));
    value ^= 1;
  }
  EXPECT_EQ(keys.size(), 1 + picture.pixels.size());
  EXPECT_EQ(key_of(picture), original);
}

TEST(ImageKey, EqualBytesOfAnotherShapeAreAnotherPicture) {
  image::RgbImage wide = random_picture({150, 30}, 4);
  image::RgbImage tall({30, 150});
  tall.pixels = wide.pixels;
  EXPECT_NE(key_of(wide), key_of(tall));
}

TEST(ImageKey, TheRecipeCounts) {
  const image::RgbImage picture = random_picture({8, 8}, 5);
  EXPECT_NE(key_of(picture, "recipe"), key_of(picture, "recipe2"));
  EXPECT_NE(key_of(picture, "recipe"), key_of(picture, ""));
}

TEST(ImageKey, RefusesPixelsOfAnotherSize) {
  image::RgbImage picture = random_picture({8, 8}, 5);
  picture.pixels.pop_back();
  EXPECT_THROW(key_of(picture), Error);
  EXPECT_THROW(image_key({.size = {0, 8}, .pixels = {}, .recipe = {}}), Error);
}

TEST(FileKey, EveryPartCounts) {
  const std::string file = "some bytes";
  const auto bytes = std::as_bytes(std::span(file));
  const std::set<ImageKey> keys{
      file_key(bytes, "d", "r"), file_key(bytes.first(9), "d", "r"), file_key(bytes, "d2", "r"),
      file_key(bytes, "d", "r2"), file_key(bytes, "", "dr"),
      // Lengths are part of the encoding: a byte cannot move from one field to the next.
      file_key(bytes, "dr", "")};
  EXPECT_EQ(keys.size(), 6u);
}

TEST(PreprocessingRecipe, EverySettingCounts) {
  const image::ImageProcessorConfig processor;
  image::ImageGeometry pad;
  pad.mode = image::AspectMode::kPad;
  image::ImageGeometry anyres;
  anyres.mode = image::AspectMode::kAnyres;
  anyres.pinpoints = {{336, 672}};
  image::ImageGeometry turned = anyres;
  turned.pinpoints = {{672, 336}};
  image::ImageProcessorConfig shifted = processor;
  shifted.mean[1] = std::nextafter(shifted.mean[1], 1.0);
  image::ImageProcessorConfig larger = processor;
  larger.crop_size = {336, 336};
  const std::set<std::string> recipes{
      preprocessing_recipe(processor, {}),     preprocessing_recipe(processor, pad),
      preprocessing_recipe(processor, anyres), preprocessing_recipe(processor, turned),
      preprocessing_recipe(shifted, {}),       preprocessing_recipe(larger, {})};
  EXPECT_EQ(recipes.size(), 6u);
}

TEST(DecodeRecipe, WhatChangesPixelsCountsAndLimitsDoNot) {
  image::DecodeOptions options;
  const std::string plain = decode_recipe(options);
  options.max_pixels = 5;
  EXPECT_EQ(decode_recipe(options), plain);
  options.rgba_background = image::Rgb{0, 0, 0};
  const std::string black = decode_recipe(options);
  options.rgba_background = image::Rgb{0, 0, 1};
  EXPECT_NE(black, plain);
  EXPECT_NE(decode_recipe(options), black);
  options.rgba_background.reset();
  options.exif_transpose = true;
  EXPECT_NE(decode_recipe(options), plain);
}

}  // namespace
}  // namespace llava::engine
