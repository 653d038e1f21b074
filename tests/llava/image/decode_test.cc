// SPDX-License-Identifier: Apache-2.0
#include "llava/image/decode.h"

#include <gtest/gtest.h>

#include "llava/core/error.h"
#include "llava/image/fixtures.h"

namespace llava::image {
namespace {

struct GoldenPicture {
  std::string name;
  ImageSize size;
  std::string plain, on_white, upright;
};

std::vector<GoldenPicture> golden_pictures() {
  std::vector<GoldenPicture> pictures;
  for (const auto& row : read_table(data_folder() / "pictures.txt")) {
    pictures.push_back({row[0], {std::stoi(row[1]), std::stoi(row[2])}, row[3], row[4], row[5]});
  }
  return pictures;
}

/// Pillow reads these and we do not, and say so.
bool is_refused_here(const std::string& name) { return name == "mode_LAB.tif"; }

void expect_refused(std::span<const std::byte> bytes, const std::string& name) {
  try {
    decode(bytes, name);
    ADD_FAILURE() << "decoded, expected an error";
  } catch (const Error& error) {
    EXPECT_TRUE(error.code() == ErrorCode::kBadFormat || error.code() == ErrorCode::kUnsupported);
    EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
  }
}

TEST(Decode, ReducedJpegEqualsPillowsDrafts) {
  int count = 0;
  for (const auto& row : read_table(data_folder() / "reduced.txt")) {
    SCOPED_TRACE(row[0] + " by " + row[1]);
    const std::vector<std::byte> bytes = bytes_of(data_folder() / "pictures" / row[0]);
    const ImageSize size{std::stoi(row[2]), std::stoi(row[3])};
    const int64_t pixels = int64_t{size.width} * size.height;
    for (const int num_threads : {1, 2}) {
      const RgbImage image =
          decode(bytes, row[0], {.reduce_jpeg_above = pixels, .num_threads = num_threads});
      EXPECT_EQ(image.size, size);
      EXPECT_EQ(sha256_of(image.pixels), row[4]);
    }
    ++count;
  }
  EXPECT_GE(count, 50);
}

TEST(Decode, OnlyLargeJpegIsReduced) {
  for (const std::string name : {"420.jpg", "1.bmp"}) {
    const std::vector<std::byte> bytes = bytes_of(data_folder() / "pictures" / name);
    const RgbImage whole = decode(bytes, name);
    const int64_t pixels = int64_t{whole.size.width} * whole.size.height;
    EXPECT_EQ(decode(bytes, name, {.reduce_jpeg_above = pixels}).pixels, whole.pixels);
    if (name == "1.bmp") {
      EXPECT_EQ(decode(bytes, name, {.reduce_jpeg_above = 1}).pixels, whole.pixels);
    }
  }
}

TEST(Decode, EqualsPillow) {
  const std::vector<GoldenPicture> pictures = golden_pictures();
  ASSERT_GE(pictures.size(), 200u);
  for (const GoldenPicture& golden : pictures) {
    SCOPED_TRACE(golden.name);
    const std::vector<std::byte> bytes = bytes_of(data_folder() / "pictures" / golden.name);
    if (golden.plain == "error" || is_refused_here(golden.name)) {
      expect_refused(bytes, golden.name);
      continue;
    }
    try {
      EXPECT_EQ(probe_size(bytes, golden.name), golden.size);
      const RgbImage plain = decode(bytes, golden.name);
      EXPECT_EQ(plain.size, golden.size);
      EXPECT_EQ(sha256_of(plain.pixels), golden.plain);
      const RgbImage on_white = decode(bytes, golden.name, {.rgba_background = Rgb{255, 255, 255}});
      EXPECT_EQ(sha256_of(on_white.pixels), golden.on_white) << "composited onto white";
      const RgbImage upright = decode(bytes, golden.name, {.exif_transpose = true});
      EXPECT_EQ(sha256_of(upright.pixels), golden.upright) << "turned upright";
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

TEST(EncodePng, RoundTrips) {
  const RgbImage image = synthetic(61, 37);
  const std::string file = encode_png(image);
  const RgbImage again = decode(std::as_bytes(std::span(file)), "round trip");
  EXPECT_EQ(again.size, image.size);
  EXPECT_EQ(again.pixels, image.pixels);
  EXPECT_THROW(encode_png(RgbImage()), Error);
}

TEST(DecodeFile, NamesWhatIsMissing) {
  EXPECT_EQ(decode_file(data_folder() / "pictures" / "24.bmp").size, (ImageSize{21, 9}));
  EXPECT_THROW(decode_file("/nonexistent.png"), Error);
  EXPECT_THROW(decode_file(data_folder()), Error);
}

}  // namespace
}  // namespace llava::image
