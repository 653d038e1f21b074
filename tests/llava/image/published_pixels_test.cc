// SPDX-License-Identifier: Apache-2.0
//
// Pixel values computed by the published software, which lie beside the repository and not in it.
#include <gtest/gtest.h>

#include <filesystem>
#include <numeric>

#include "llava/core/json.h"
#include "llava/image/decode.h"
#include "llava/image/fixtures.h"
#include "llava/image/preprocess.h"
#include "support/paths.h"

namespace llava::image {
namespace {

std::filesystem::path golden_folder() { return source_folder() / ".." / "shared" / "golden"; }

ImageProcessorConfig config_of(const std::string& tower) {
  ImageProcessorConfig config;
  if (tower == "siglip384") {
    config.shortest_edge = 0;
    config.exact_size = {384, 384};
    config.do_center_crop = false;
    config.mean = config.std = {0.5, 0.5, 0.5};
    return config;
  }
  const int32_t side = tower == "clip56" ? 56 : 336;
  config.shortest_edge = side;
  config.crop_size = {side, side};
  return config;
}

ImageGeometry geometry_of(const std::string& mode, int32_t tile) {
  ImageGeometry geometry;
  geometry.tile_size = tile;
  if (mode == "pad") geometry.mode = AspectMode::kPad;
  if (!mode.starts_with("anyres")) return geometry;
  geometry.mode = AspectMode::kAnyres;
  std::vector<ImageSize> pairs = {
      {tile, 2 * tile}, {2 * tile, tile}, {2 * tile, 2 * tile}, {3 * tile, tile}, {tile, 3 * tile}};
  if (mode == "anyres_ov") {
    pairs.clear();
    for (int32_t i = 1; i <= 6; ++i) {
      for (int32_t j = 1; j <= 6; ++j) pairs.push_back({i * tile, j * tile});
    }
  }
  if (mode != "anyres_orig") {
    geometry.rules = AnyresRules::kHuggingFace;
    for (ImageSize& pair : pairs) std::swap(pair.width, pair.height);
  }
  geometry.pinpoints = pairs;
  return geometry;
}

TEST(PublishedPixels, EveryPictureAndCase) {
  const auto folder = golden_folder() / "hf";
  if (!std::filesystem::exists(folder / "pixels" / "pixels.json")) {
    GTEST_SKIP() << "no " << (folder / "pixels" / "pixels.json");
  }
  const Json golden = read_json_file(folder / "pixels" / "pixels.json");
  int num_cases = 0;
  for (const auto& [name, entry] : golden["images"].items()) {
    SCOPED_TRACE(name);
    const RgbImage image = decode_file(folder / "images" / name);
    EXPECT_EQ(image.size.width, entry["size_wh"][0].get<int32_t>());
    EXPECT_EQ(image.size.height, entry["size_wh"][1].get<int32_t>());
    EXPECT_EQ(sha256_of(image.pixels), entry["rgb_sha256"].get<std::string>());
    for (const auto& [key, expected] : entry["cases"].items()) {
      SCOPED_TRACE(key);
      const ImageProcessorConfig config = config_of(key.substr(0, key.find('.')));
      const ImageGeometry geometry = geometry_of(key.substr(key.find('.') + 1), config.tile_size());
      const ImageLayout layout = plan_layout(image.size, geometry);
      const PixelValues pixels = preprocess(image, config, layout);
      const std::vector<int32_t> shape = {pixels.num_tiles, pixels.channels, pixels.height,
                                          pixels.width};
      EXPECT_EQ(shape, expected["shape"].get<std::vector<int32_t>>());
      EXPECT_EQ(sha256_of(pixels.values), expected["sha256"].get<std::string>());
      if (expected.contains("best_wh")) {
        EXPECT_EQ(layout.canvas.width, expected["best_wh"][0].get<int32_t>());
        EXPECT_EQ(layout.canvas.height, expected["best_wh"][1].get<int32_t>());
      }
      ++num_cases;
    }
  }
  EXPECT_GT(num_cases, 0);
  RecordProperty("cases", num_cases);
}

TEST(PublishedPixels, OnlyTransparentPicturesChangeOnWhite) {
  const auto folder = golden_folder() / "hf";
  if (!std::filesystem::exists(folder / "pixels" / "pixels.json")) {
    GTEST_SKIP() << "no " << (folder / "pixels" / "pixels.json");
  }
  const Json golden = read_json_file(folder / "pixels" / "pixels.json");
  std::string changed;
  for (const auto& difference : golden["transformers5_differences"]["cases"]) {
    changed += difference.get<std::string>() + "\n";
  }
  for (const auto& [name, entry] : golden["images"].items()) {
    SCOPED_TRACE(name);
    const RgbImage image =
        decode_file(folder / "images" / name, {.rgba_background = Rgb{255, 255, 255}});
    const bool is_same = sha256_of(image.pixels) == entry["rgb_sha256"].get<std::string>();
    EXPECT_EQ(is_same, changed.find(name) == std::string::npos);
  }
}

TEST(PublishedPixels, PicturesOfTheOriginalPackage) {
  const auto folder = golden_folder() / "orig" / "images";
  if (!std::filesystem::exists(folder / "images.json")) {
    GTEST_SKIP() << "no " << (folder / "images.json");
  }
  const Json golden = read_json_file(folder / "images.json");
  for (const auto& [name, entry] : golden.items()) {
    const RgbImage image = decode_file(folder / name);
    EXPECT_EQ(image.size.width, entry[0].get<int32_t>()) << name;
    EXPECT_EQ(image.size.height, entry[1].get<int32_t>()) << name;
  }
}

}  // namespace
}  // namespace llava::image
