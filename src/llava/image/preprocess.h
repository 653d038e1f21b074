// SPDX-License-Identifier: Apache-2.0
//
// From an RGB picture to the vision tower's input: views in 8 bits as the layout plans them, then
// numbers. Bit-exact with the published processors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "llava/image/layout.h"
#include "llava/image/processor_config.h"
#include "llava/image/rgb_image.h"

namespace llava::image {

/// Views of one picture as the tower takes them.
struct PixelValues {
  int32_t num_tiles = 0;
  int32_t channels = 3;
  int32_t height = 0;
  int32_t width = 0;
  std::vector<float> values;  ///< [num_tiles, channels, height, width]
};

/// Draws the views of a picture: the whole of it resized, cropped or padded, then with anyres its
/// tiles row by row. `layout` comes from plan_layout for this picture.
///
/// Throws: Error(kInvalidArgument) when the layout is of another size or its tiles do not fit the
/// processor, Error(kBadFormat) when the processor's settings would make a view of more than 2^26
/// pixels.   Threads: safe; `num_threads` is how many may share the resize of a large picture.
/// Source: CLIPImageProcessor, LlavaNextImageProcessor, process_images of the original.
std::vector<RgbImage> render_views(const RgbImage& image, const ImageProcessorConfig& config,
                                   const ImageLayout& layout, int num_threads = 1);

/// Rescales and normalises views of equal size.
///
/// Shapes: [views][H, W, 3] -> [views, 3, H, W].   Dtype: uint8 -> float32: float32(double(v) *
/// factor), then (v - mean) / std in float32.   Throws: Error(kInvalidArgument) when the views
/// differ in size or there is none.   Threads: safe.
PixelValues normalize_views(std::span<const RgbImage> views, const ImageProcessorConfig& config);

/// render_views, then normalize_views.
PixelValues preprocess(const RgbImage& image, const ImageProcessorConfig& config,
                       const ImageLayout& layout, int num_threads = 1);

}  // namespace llava::image
