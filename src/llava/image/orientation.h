// SPDX-License-Identifier: Apache-2.0
//
// Exif orientation: finding it in a metadata block and turning pixels accordingly.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llava/image/rgb_image.h"

namespace llava::image {

/// Orientation (1 to 8) in an Exif block that begins with its TIFF header, with or without the
/// "Exif\0\0" in front; 1 when there is none or the block is malformed.
int exif_orientation(std::span<const uint8_t> block) noexcept;

/// Size of a picture after turning.
ImageSize oriented_size(ImageSize size, int orientation) noexcept;

/// Turns pixels stored with `orientation` upright; 1 and unknown values leave them alone.
RgbImage orient(RgbImage image, int orientation);

/// The same for one byte per pixel.
std::vector<uint8_t> orient_plane(std::vector<uint8_t> plane, ImageSize size, int orientation);

}  // namespace llava::image
