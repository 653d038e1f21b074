// SPDX-License-Identifier: Apache-2.0
//
// Bicubic resampling whose 8-bit results equal Pillow's, of a whole picture or of the part of the
// result that is needed, with an optional border that is never stored.
#pragma once

#include "llava/image/rgb_image.h"

namespace llava::image {

/// A picture lying on a larger canvas of one colour. Keeps a reference to the picture.
struct Canvas {
  const RgbImage& image;
  ImageSize size;    ///< extent of the canvas
  ImageSize offset;  ///< where the picture's top left corner lies; it lies inside entirely
  Rgb fill;
};

/// The part of a resized picture that is wanted: left, top, width and height in result pixels.
struct Window {
  int32_t x = 0;
  int32_t y = 0;
  ImageSize size;
};

/// Resizes a picture with the bicubic filter, widened on reduction (antialiasing).
///
/// Units: pixels.   Throws: Error(kInvalidArgument) for a size below 1x1.   Threads: safe; a large
/// picture is resized on `num_threads`, with the same result for any number.
/// Source: Pillow 13, Image.resize with Resampling.BICUBIC: two passes with 8 bits in between, the
/// vertical one first where the height shrinks by more than twice what the width does, else second;
/// weights in 22-bit fixed point. tests/data/image/resize.txt pins it.
RgbImage resize(const RgbImage& image, ImageSize target, int num_threads = 1);

/// The window of what `resize` would make of the canvas at size `target`; the cost depends on the
/// picture and the window only, so a thin picture may stand for a huge canvas or result.
///
/// Throws: Error(kInvalidArgument) for an empty size or a window outside of `target`.
RgbImage resize_window(const Canvas& canvas, ImageSize target, const Window& window,
                       int num_threads = 1);

}  // namespace llava::image
