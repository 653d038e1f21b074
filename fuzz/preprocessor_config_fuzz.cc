// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/image/preprocess.h"

namespace {

using namespace llava;

/// Uses the settings on a small picture when they are small themselves.
void preprocess_small(const image::ImageProcessorConfig& config) {
  const image::RgbImage picture(image::ImageSize{5, 3});
  image::ImageGeometry geometry;
  geometry.tile_size = config.tile_size();
  geometry.patches_per_side = 1;
  if (geometry.tile_size > 64 || config.shortest_edge > 64 || config.exact_size.width > 64 ||
      config.exact_size.height > 64) {
    return;
  }
  image::preprocess(picture, config, image::plan_layout(picture.size, geometry));
  geometry.pinpoints = config.pinpoints;
  geometry.mode = image::AspectMode::kAnyres;
  const image::ImageLayout layout = image::plan_layout(picture.size, geometry);
  if (layout.num_tiles() < 20) image::preprocess(picture, config, layout);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    preprocess_small(image::parse_image_processor_config(parse_json(text, "fuzz"), "fuzz"));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) std::abort();
  }
  return 0;
}
