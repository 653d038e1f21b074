// SPDX-License-Identifier: Apache-2.0
//
// Which kind of pixels a TIFF directory describes, among those that Pillow reads.
#pragma once

#include <cstdint>

#include "llava/image/picture_format.h"

struct tiff;

namespace llava::image {

/// What one stored sample or pixel means.
enum class TiffKind : uint8_t {
  kGrey,       ///< 1, 2, 4 or 8 bits, widened to 8
  kGreyClip,   ///< 12, 16 or 32 bits, signed, unsigned or float, clipped to 8
  kPalette,    ///< 1, 2, 4 or 8 bits through the colour map
  kRgb,        ///< 8 bits, or the high byte of 16
  kCmyk,       ///< 8 bits, or the high byte of 16
  kYcc,        ///< 8 bits, not subsampled, uncompressed: converted as Pillow does
  kLibraryRgb  ///< luminance and chrominance in other forms: converted by libtiff
};

/// How the sample after the colours is used.
enum class TiffAlpha : uint8_t { kNone, kStraight, kPremultiplied };

/// The first directory of a TIFF file, checked.
struct TiffForm {
  TiffKind kind = TiffKind::kGrey;
  TiffAlpha alpha = TiffAlpha::kNone;
  bool is_inverted = false;  ///< kGrey: 0 is white
  bool is_signed = false;    ///< kGreyClip
  bool is_float = false;     ///< kGreyClip
  bool is_planar = false;    ///< samples in planes of their own
  uint16_t bits = 8;         ///< per sample
  uint16_t num_samples = 1;  ///< per pixel, unused ones included
  uint16_t num_colors = 1;   ///< samples that make the colour
  ImageSize size;            ///< as stored
  int orientation = 1;
};

/// Reads and checks the current directory.
///
/// Throws: Error(kUnsupported) for a kind that is not read, and as checked_size.
TiffForm read_tiff_form(::tiff* file, const PictureRequest& request);

}  // namespace llava::image
