// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/picture_uri.h"

#include <algorithm>

#include "llava/core/base64.h"
#include "llava/image/decode.h"
#include "llava/image/resize.h"

namespace llava::train_report {
namespace {

image::ImageSize fitting_size(image::ImageSize size) {
  const int64_t longest = std::max(size.width, size.height);
  if (longest <= kMaxPictureEdge) return size;
  const auto scaled = [&](int32_t side) {
    return static_cast<int32_t>(std::max<int64_t>(1, side * int64_t{kMaxPictureEdge} / longest));
  };
  return {scaled(size.width), scaled(size.height)};
}

}  // namespace

EmbeddedPicture embed_picture(const std::filesystem::path& path) {
  const image::RgbImage picture = image::decode_file(path);
  const image::ImageSize size = fitting_size(picture.size);
  const bool is_small = size.width == picture.size.width && size.height == picture.size.height;
  const std::string png = image::encode_png(is_small ? picture : image::resize(picture, size));
  return {.uri = "data:image/png;base64," + encode_base64(png),
          .width = size.width,
          .height = size.height};
}

}  // namespace llava::train_report
