// SPDX-License-Identifier: Apache-2.0
//
// RgbImage: pixels in memory, 8 bits per channel, the only form pictures have between decoding and
// normalisation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "llava/image/image_size.h"

namespace llava::image {

/// One colour, 8 bits per channel.
struct Rgb {
  uint8_t red = 0;
  uint8_t green = 0;
  uint8_t blue = 0;

  friend bool operator==(const Rgb&, const Rgb&) = default;
};

/// A picture: rows from the top, pixels from the left, three bytes (red, green, blue) each.
struct RgbImage {
  ImageSize size;
  std::vector<uint8_t> pixels;  ///< [height * width * 3]

  RgbImage() = default;
  /// A black picture of the given size.
  explicit RgbImage(ImageSize extent);

  size_t row_bytes() const { return static_cast<size_t>(size.width) * 3; }
  uint8_t* row(int32_t y) { return pixels.data() + static_cast<size_t>(y) * row_bytes(); }
  const uint8_t* row(int32_t y) const {
    return pixels.data() + static_cast<size_t>(y) * row_bytes();
  }
};

}  // namespace llava::image
