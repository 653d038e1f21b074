// SPDX-License-Identifier: Apache-2.0
//
// Width before height, everywhere.
#pragma once

#include <cstdint>

namespace llava::image {

/// Extent in pixels, patches or tiles; width before height.
struct ImageSize {
  int32_t width = 0;
  int32_t height = 0;

  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};

}  // namespace llava::image
