// SPDX-License-Identifier: Apache-2.0
#include "llava/data/picture_reader.h"

#include <cstddef>
#include <span>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/image/picture_recipe.h"
#include "llava/image/pinpoints.h"

namespace llava::data {

using image::AspectMode;

std::vector<image::ImageSize> parse_pinpoints(std::string_view text, int32_t tile_size) {
  const Json value = {{"image_grid_pinpoints", std::string(text)}};
  try {
    return image::read_pinpoints(JsonObject(value, "--image_grid_pinpoints"),
                                 image::PinpointOrder::kWidthFirst, tile_size);
  } catch (const Error& error) {
    throw Error(ErrorCode::kInvalidArgument, error.what());
  }
}

void set_training_aspect(image::ImageGeometry& geometry, std::string_view aspect_ratio,
                         Compat compat) {
  if (aspect_ratio == "pad") {
    geometry.mode = AspectMode::kPad;
  } else if (aspect_ratio == "square" || compat == Compat::kReference) {
    geometry.mode = AspectMode::kSquare;
  } else if (aspect_ratio == "anyres") {
    if (geometry.pinpoints.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "--image_aspect_ratio anyres needs --image_grid_pinpoints, the sizes to choose from");
    }
    geometry.mode = AspectMode::kAnyres;
    geometry.merge = {.is_spatial = true, .has_unpad = true, .max_views = geometry.merge.max_views};
  } else {
    fail(ErrorCode::kInvalidArgument,
         "--image_aspect_ratio is '{}', expected pad, square or anyres", aspect_ratio);
  }
}

std::string picture_recipe(const PictureRules& rules) {
  return image::preprocessing_recipe(rules.processor, rules.geometry) + "\n" +
         image::decode_recipe(rules.decode);
}

std::filesystem::path picture_path(const PictureRules& rules, std::string_view path) {
  return rules.folder / std::filesystem::path(path);
}

PreparedPicture read_picture(const PictureRules& rules, const std::string& path) {
  const std::filesystem::path file = picture_path(rules, path);
  const std::string name = fmt::format("'{}'", file.string());
  const std::string content = read_file(file, rules.decode.max_bytes);
  const std::span<const std::byte> bytes = std::as_bytes(std::span(content));
  PreparedPicture picture{.path = path, .content = sha256(bytes), .layout = {}, .pixels = {}};
  const bool needs_pixels = !rules.needs_pixels || rules.needs_pixels(picture.content);
  // The header does not know how an Exif orientation turns the picture.
  if (!needs_pixels && !rules.decode.exif_transpose) {
    const image::ImageSize size = image::probe_size(bytes, name, rules.decode);
    picture.layout = image::plan_layout(size, rules.geometry);
    return picture;
  }
  const image::RgbImage decoded = image::decode(bytes, name, rules.decode);
  picture.layout = image::plan_layout(decoded.size, rules.geometry);
  picture.pixels = image::preprocess(decoded, rules.processor, picture.layout);
  return picture;
}

}  // namespace llava::data
