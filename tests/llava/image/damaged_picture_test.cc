// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <random>

#include "llava/core/error.h"
#include "llava/image/decode.h"
#include "llava/image/fixtures.h"

namespace llava::image {
namespace {

/// One file per reader and code path, small enough to be cut everywhere.
const std::vector<std::string> kNames = {"420.jpg",
                                         "progressive.jpg",
                                         "ycck.jpg",
                                         "restart.jpg",
                                         "grey.jpg",
                                         "pillow.png",
                                         "type2_depth8_interlaced.png",
                                         "type3_depth4_alphas.png",
                                         "palette.gif",
                                         "interlaced.gif",
                                         "offset_transparent.gif",
                                         "24.bmp",
                                         "8.bmp",
                                         "rle8.bmp",
                                         "rle4.bmp",
                                         "rgb_raw.tif",
                                         "rgb_lzw.tif",
                                         "jpeg.tif",
                                         "tiles_deflate.tif",
                                         "planar_strips.tif",
                                         "bilevel_group4.tif",
                                         "lossy.webp",
                                         "lossless_alpha.webp",
                                         "animated.webp"};

/// Decodes and returns the picture, or nothing after an Error; anything else fails the test.
std::optional<RgbImage> try_decode(std::span<const std::byte> bytes) {
  try {
    return decode(bytes, "damaged", {.max_pixels = 1 << 20, .rgba_background = Rgb{}});
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
    return std::nullopt;
  }
}

TEST(DamagedPicture, EveryPrefixIsAnErrorOrTheWholePicture) {
  for (const std::string& name : kNames) {
    SCOPED_TRACE(name);
    const std::vector<std::byte> bytes = bytes_of(data_folder() / "pictures" / name);
    const std::optional<RgbImage> whole = try_decode(bytes);
    ASSERT_TRUE(whole.has_value());
    for (size_t length = 0; length < bytes.size(); ++length) {
      // A copy of the exact size lets a sanitizer see reads past the end.
      const std::vector<std::byte> prefix(bytes.begin(), bytes.begin() + static_cast<long>(length));
      const std::optional<RgbImage> picture = try_decode(prefix);
      if (!picture) continue;
      ASSERT_EQ(picture->pixels, whole->pixels) << "a partial picture after " << length << " bytes";
    }
  }
}

TEST(DamagedPicture, FlippedBytesNeverCrash) {
  const unsigned seed = 20251017;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (const std::string& name : kNames) {
    SCOPED_TRACE(name);
    const std::vector<std::byte> bytes = bytes_of(data_folder() / "pictures" / name);
    for (int round = 0; round < 150; ++round) {
      std::vector<std::byte> damaged = bytes;
      const size_t reach = round % 2 == 0 ? std::min<size_t>(damaged.size(), 64) : damaged.size();
      damaged[random() % reach] = static_cast<std::byte>(random());
      damaged[random() % damaged.size()] ^= static_cast<std::byte>(1u << random() % 8);
      try_decode(damaged);
    }
  }
}

Error error_of(std::span<const std::byte> bytes, const DecodeOptions& options = {}) {
  try {
    decode(bytes, "photo", options);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "decoded, expected an error";
  return Error(ErrorCode::kInternal, "");
}

TEST(DamagedPicture, LimitsAreCheckedFirstAndNamed) {
  std::string huge = encode_png(RgbImage(ImageSize{1, 1}));
  std::vector<std::byte> bytes(std::as_bytes(std::span(huge)).begin(),
                               std::as_bytes(std::span(huge)).end());
  const std::vector<uint8_t> header = {0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30, 8, 2, 0, 0, 0};
  for (size_t i = 0; i < header.size(); ++i) bytes[16 + i] = static_cast<std::byte>(header[i]);
  const uint32_t crc = crc32_of(std::span<const std::byte>(bytes).subspan(12, 17));
  for (size_t i = 0; i < 4; ++i) bytes[29 + i] = static_cast<std::byte>(crc >> (24 - 8 * i));
  const Error pixels = error_of(bytes);
  EXPECT_EQ(pixels.code(), ErrorCode::kBadFormat);
  EXPECT_NE(std::string(pixels.what()).find("30000x30000"), std::string::npos) << pixels.what();
  EXPECT_NE(std::string(pixels.what()).find("178956970"), std::string::npos) << pixels.what();
  EXPECT_THROW(probe_size(bytes, "photo"), Error);

  const std::vector<std::byte> small = bytes_of(data_folder() / "pictures" / "24.bmp");
  EXPECT_EQ(error_of(small, {.max_bytes = 10}).code(), ErrorCode::kBadFormat);
  EXPECT_EQ(error_of(small, {.max_pixels = 21 * 9 - 1}).code(), ErrorCode::kBadFormat);
  EXPECT_EQ(decode(small, "photo", {.max_pixels = 21 * 9}).size, (ImageSize{21, 9}));
}

TEST(DamagedPicture, SaysWhatItIsNot) {
  EXPECT_EQ(error_of({}).code(), ErrorCode::kBadFormat);
  const std::string text = "GIF is not what this is";
  const Error error = error_of(std::as_bytes(std::span(text)));
  EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
  EXPECT_NE(std::string(error.what()).find("47 49 46 20"), std::string::npos) << error.what();
}

}  // namespace
}  // namespace llava::image
