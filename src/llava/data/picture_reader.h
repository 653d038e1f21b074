// SPDX-License-Identifier: Apache-2.0
//
// From a path in a training file to the vision tower's numbers, with the same arithmetic as
// inference.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/hash.h"
#include "llava/data/compat.h"
#include "llava/image/decode.h"
#include "llava/image/layout.h"
#include "llava/image/preprocess.h"

namespace llava::data {

/// How pictures are found, decoded and cut into views.
struct PictureRules {
  std::filesystem::path folder;  ///< --image_folder
  image::ImageProcessorConfig processor;
  image::ImageGeometry geometry;
  image::DecodeOptions decode;
  /// Called with the content's hash; false leaves the pixels out (a cache has their features).
  /// Called from several threads. Empty: always.
  std::function<bool(const Sha256& content)> needs_pixels = {};
};

/// One picture of a sample.
struct PreparedPicture {
  std::string path;  ///< as the training file writes it
  Sha256 content{};  ///< of the file's bytes
  image::ImageLayout layout;
  image::PixelValues pixels;  ///< float32 [tiles, 3, H, W]; no values when they were not needed
};

/// Reads --image_grid_pinpoints: a list of sizes "[(336, 672), (672, 336)]", or tiles
/// "(1x1),...,(6x6)" of `tile_size` pixels.
///
/// Units: pixels, width before height.   Throws: Error(kInvalidArgument) for another text, as
/// image::read_pinpoints says.
std::vector<image::ImageSize> parse_pinpoints(std::string_view text, int32_t tile_size);

/// Chooses the aspect mode as training does: "pad", "square" and, as an extension, "anyres", which
/// needs the geometry's pinpoints and merges by spatial_unpad. With Compat::kReference every word
/// but "pad" is "square", as published.
///
/// Throws: Error(kInvalidArgument) for another word, and for "anyres" without pinpoints.
/// Source: LLaVA 1.2.2 `llava/train/train.py`, LazySupervisedDataset.
void set_training_aspect(image::ImageGeometry& geometry, std::string_view aspect_ratio,
                         Compat compat);

/// Everything but the picture that its pixels depend on, as a text for cache keys.
std::string picture_recipe(const PictureRules& rules);

/// Where a picture of the file lies; an absolute path is itself.
std::filesystem::path picture_path(const PictureRules& rules, std::string_view path);

/// Reads, decodes and preprocesses a picture.
///
/// Dtype: float32.   Throws: as image::decode_file, image::plan_layout and image::preprocess.
/// Threads: safe.
PreparedPicture read_picture(const PictureRules& rules, const std::string& path);

}  // namespace llava::data
