// SPDX-License-Identifier: Apache-2.0
#include "llava/image/rgb_image.h"

#include "llava/core/large_pages.h"

namespace llava::image {

RgbImage::RgbImage(ImageSize extent) : size(extent) {
  const size_t num_bytes = row_bytes() * static_cast<size_t>(extent.height);
  // A photograph is new memory each time: in small pages, making them takes longer than a resize.
  pixels.reserve(num_bytes);
  request_large_pages(pixels.data(), num_bytes);
  pixels.resize(num_bytes);
}

}  // namespace llava::image
