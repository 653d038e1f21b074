// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/worker_picture.h"

#include <algorithm>

#include "llava/core/base64.h"
#include "llava/image/decode.h"
#include "llava/image/resize.h"

namespace llava::serve {
namespace {

constexpr int32_t kMaxLongSide = 1344;
constexpr int32_t kMaxShortSide = 672;

}  // namespace

image::ImageSize worker_picture_size(image::ImageSize size) {
  const int32_t longer = std::max(size.width, size.height);
  const int32_t shorter = std::min(size.width, size.height);
  if (longer <= kMaxLongSide) return size;
  const double ratio = static_cast<double>(longer) / shorter;
  const auto new_shorter = static_cast<int32_t>(
      std::min({kMaxLongSide / ratio, double{kMaxShortSide}, static_cast<double>(shorter)}));
  // The original fails where nothing would be left of the shorter side.
  const int32_t low = std::max(new_shorter, 1);
  const int32_t high = std::min(static_cast<int32_t>(low * ratio), kMaxLongSide);
  return size.height > size.width ? image::ImageSize{low, high} : image::ImageSize{high, low};
}

std::string encode_worker_picture(const image::RgbImage& picture) {
  const image::ImageSize size = worker_picture_size(picture.size);
  if (size == picture.size) return encode_base64(image::encode_png(picture));
  return encode_base64(image::encode_png(image::resize(picture, size)));
}

}  // namespace llava::serve
