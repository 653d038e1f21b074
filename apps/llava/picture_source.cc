// SPDX-License-Identifier: Apache-2.0
#include "picture_source.h"

#include "fetch.h"
#include "llava/core/file.h"

namespace llava::app {

std::string read_picture(const std::string& location, uint64_t max_bytes) {
  const bool is_address = location.starts_with("http://") || location.starts_with("https://");
  return is_address ? fetch(location, max_bytes) : read_file(location, max_bytes);
}

image::RgbImage load_picture(const std::string& location, const PictureOptions& options,
                             int num_threads) {
  image::DecodeOptions decode;
  decode.max_pixels = options.max_pixels;
  decode.num_threads = num_threads;
  decode.exif_transpose = options.exif_transpose;
  if (options.rgba_background == "white") decode.rgba_background = image::Rgb{255, 255, 255};
  const std::string bytes = read_picture(location, decode.max_bytes);
  return image::decode(std::as_bytes(std::span(bytes)), location, decode);
}

}  // namespace llava::app
