// SPDX-License-Identifier: Apache-2.0
//
// Changes to a picture that keep what it shows: mirroring, and placing it a little elsewhere.
#pragma once

#include <cstdint>

#include "llava/image/preprocess.h"

namespace llava::data {

/// What may be changed.
struct Augmentation {
  bool flips = false;     ///< mirrors every second picture, left to right
  int32_t max_shift = 0;  ///< pixels, in each direction
  bool is_on() const { return flips || max_shift > 0; }
};

/// One draw of it.
struct PictureChange {
  bool is_flipped = false;
  int32_t right = 0;  ///< pixels that the content moves to the right
  int32_t down = 0;

  friend bool operator==(const PictureChange&, const PictureChange&) = default;
};

/// The change of a sample in an epoch: a function of the arguments alone.
PictureChange draw_change(const Augmentation& augmentation, uint64_t seed, int64_t epoch,
                          int64_t sample);

/// Mirrors and moves views; where nothing moves in, the pixels of the border go on.
///
/// Shapes: [tiles, C, H, W], kept.
void apply(const PictureChange& change, image::PixelValues& pixels);

}  // namespace llava::data
