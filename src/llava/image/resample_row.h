// SPDX-License-Identifier: Apache-2.0
//
// Weighted sums along the rows of a picture in Pillow's fixed point: the horizontal pass of a
// resize, several rows at a time.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "llava/image/rgb_image.h"

namespace llava::image {

/// Pillow's fixed point: 32 bits less 8 for the pixel and 2 for the filter's overshoot.
inline constexpr int kResamplePrecision = 32 - 8 - 2;
inline constexpr int32_t kResampleHalf = 1 << (kResamplePrecision - 1);

/// Weights of one result position: its taps inside the picture, and the sum of those on the border.
struct Taps {
  int32_t begin = 0;   ///< first source position, relative to the picture
  int32_t end = 0;     ///< one past the last
  size_t weights = 0;  ///< where the first weight lies
  int32_t border = 0;  ///< sum of the weights that fall on the canvas around the picture
};

/// Weights of one axis for the result positions of the window.
struct Axis {
  std::vector<Taps> taps;
  std::vector<int32_t> weights;
};

/// Sums rows with the weights of an axis. A weight is taken apart into 15 low bits and the rest, so
/// that products of 16 bits make the exact sum of 32.
class RowResampler {
 public:
  /// Rows that are summed together.
  static constexpr std::size_t kRows = 4;

  /// `width` is the rows' number of pixels; every tap lies inside.
  RowResampler(const Axis& axis, int32_t width);

  /// Sums up to kRows rows into the rows of `out`, which hold the window's width.
  void resample(std::span<const uint8_t* const> rows, Rgb fill, std::span<uint8_t* const> out);

 private:
  /// Where the weights of one result position lie; they begin at an even pixel.
  struct Position {
    int32_t first_pair;
    int32_t num_pairs;
    int32_t border;
    std::size_t weights;
  };

  void spread_row(const uint8_t* row, int16_t* pairs) const;

  int32_t width_;
  int32_t begin_ = 0;  ///< pixels that any position needs
  int32_t end_ = 0;
  std::vector<Position> positions_;
  std::vector<int16_t> low_;  ///< pairs of weights
  std::vector<int16_t> high_;
  std::array<std::vector<int16_t>, kRows> pairs_;  ///< R R G G B B x x of each pair of pixels
};

}  // namespace llava::image
