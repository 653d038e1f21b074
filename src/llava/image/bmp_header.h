// SPDX-License-Identifier: Apache-2.0
//
// The headers of a BMP file: OS/2 and Windows, with bit fields of the usual layouts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "llava/image/picture_format.h"

namespace llava::image {

/// Where the channels of a 32-bit pixel lie, as byte positions; alpha -1 when there is none.
struct BmpByteLayout {
  int red, green, blue, alpha;
};

/// What the headers say, checked.
struct BmpHeader {
  ImageSize size;
  bool is_top_down = false;
  uint32_t bits = 0;
  uint32_t compression = 0;
  bool is_565 = false;                ///< 16 bits: 5-6-5 instead of 5-5-5
  BmpByteLayout layout{2, 1, 0, -1};  ///< 32 bits
  size_t palette_offset = 0;
  size_t palette_entry_bytes = 4;
  uint32_t num_colors = 0;
  size_t pixel_offset = 0;

  /// Whether the pixels are runs of 8-bit or 4-bit palette indices.
  bool is_run_length() const { return is_rle8() || is_rle4(); }
  bool is_rle8() const { return compression == 1; }
  bool is_rle4() const { return compression == 2; }
};

/// Reads the headers.
///
/// Throws: Error(kBadFormat) when they are cut short, Error(kUnsupported) for kinds that Pillow
/// does not read either, and as checked_size.
BmpHeader read_bmp_header(const PictureRequest& request);

/// The first 256 colours of the palette; unlisted ones are black.
///
/// Throws: Error(kBadFormat) when it is cut short.
std::array<Rgb, 256> read_bmp_palette(const PictureRequest& request, const BmpHeader& header);

}  // namespace llava::image
