// SPDX-License-Identifier: Apache-2.0
//
// From rows of TIFF samples, as libtiff unpacks them, to the channels of a picture.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "llava/image/picture_format.h"
#include "llava/image/tiff_form.h"

namespace llava::image {

/// Fills a picture row by row. Keeps references to `form` and `picture`.
class TiffRowConverter {
 public:
  /// Throws: Error(kBadFormat) when palette indices have no colour map.
  TiffRowConverter(::tiff* file, const TiffForm& form, const PictureRequest& request,
                   Picture& picture);

  /// Bytes of a row of `width` pixels as stored.
  uint64_t row_bytes(uint64_t width) const;

  /// Takes `width` pixels that begin at (x, y); of a planar file one plane of them.
  void convert(const uint8_t* row, int32_t x, int32_t y, int32_t width, int plane);

  /// Does what needs all channels of a pixel, and hands alpha over.
  void finish(bool needs_alpha);

 private:
  void read_palette(::tiff* file, const PictureRequest& request);
  uint8_t sample(const uint8_t* row, size_t index) const;
  uint8_t clipped_sample(const uint8_t* row, size_t index) const;
  void put(uint8_t* out, uint8_t* fourth, size_t pixel, size_t sample, uint8_t value) const;

  const TiffForm& form_;
  Picture& picture_;
  std::vector<uint8_t> fourth_;  ///< alpha or black ink
  std::array<Rgb, 256> palette_{};
};

}  // namespace llava::image
