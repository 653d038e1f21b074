// SPDX-License-Identifier: Apache-2.0
#include "llava/image/preprocess.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "llava/core/error.h"
#include "llava/image/resize.h"

namespace llava::image {
namespace {

constexpr int64_t kMaxViewPixels = int64_t{1} << 26;

/// Size after the processor's resize.
ImageSize resized_size(ImageSize size, const ImageProcessorConfig& config) {
  if (!config.do_resize) return size;
  if (config.shortest_edge == 0) return config.exact_size;
  const int32_t shorter = std::min(size.width, size.height);
  const int32_t longer = std::max(size.width, size.height);
  const double extent =
      static_cast<double>(int64_t{config.shortest_edge} * longer) / static_cast<double>(shorter);
  if (extent > std::numeric_limits<int32_t>::max()) {
    fail(ErrorCode::kBadFormat,
         "a picture of {}x{} pixels becomes more than 2^31 pixels long when its shorter side is "
         "resized to {}; crop it first",
         size.width, size.height, config.shortest_edge);
  }
  const auto long_side = static_cast<int32_t>(extent);
  return size.width <= size.height ? ImageSize{config.shortest_edge, long_side}
                                   : ImageSize{long_side, config.shortest_edge};
}

/// Where one axis of the crop begins in the resized picture; negative when the picture is smaller
/// and the crop reaches into the black around it.
int32_t crop_begin(int32_t extent, int32_t crop) {
  if (extent >= crop) return (extent - crop) / 2;
  const int32_t padding = (crop - extent + 1) / 2;  // ceil, the published rule
  return -padding;
}

/// Resize and centre crop of the processor.
RgbImage render_view(const Canvas& canvas, const ImageProcessorConfig& config, int num_threads) {
  const ImageSize resized = resized_size(canvas.size, config);
  const ImageSize view = config.do_center_crop ? config.crop_size : resized;
  if (int64_t{view.width} * view.height > kMaxViewPixels) {
    fail(ErrorCode::kBadFormat,
         "the image processor would make a view of {}x{} pixels, over the limit of {} pixels; "
         "check do_resize, do_center_crop and size in preprocessor_config.json",
         view.width, view.height, kMaxViewPixels);
  }
  const ImageSize begin = config.do_center_crop ? ImageSize{crop_begin(resized.width, view.width),
                                                            crop_begin(resized.height, view.height)}
                                                : ImageSize{};
  Window window;
  window.x = std::max(begin.width, 0);
  window.y = std::max(begin.height, 0);
  window.size = {std::min(view.width, resized.width), std::min(view.height, resized.height)};
  RgbImage content = resize_window(canvas, resized, window, num_threads);
  if (window.size == view) return content;
  RgbImage padded(view);
  for (int32_t y = 0; y < window.size.height; ++y) {
    std::memcpy(
        padded.row(y + window.y - begin.height) + static_cast<size_t>(window.x - begin.width) * 3,
        content.row(y), content.row_bytes());
  }
  return padded;
}

RgbImage render_view(const RgbImage& image, const ImageProcessorConfig& config, int num_threads) {
  return render_view(Canvas{image, image.size, {0, 0}, {}}, config, num_threads);
}

/// The picture centred on a square of the mean colour.
Canvas padded_to_square(const RgbImage& image, const ImageProcessorConfig& config) {
  const int32_t side = std::max(image.size.width, image.size.height);
  return {image,
          {side, side},
          {(side - image.size.width) / 2, (side - image.size.height) / 2},
          config.pad_color()};
}

/// One tile of the canvas on which the resized picture lies.
RgbImage cut_tile(const RgbImage& resized, ImageSize paste_offset, int32_t x, int32_t y,
                  int32_t tile_size) {
  RgbImage tile(ImageSize{tile_size, tile_size});
  const int32_t left = std::max(x, paste_offset.width);
  const int32_t right = std::min(x + tile_size, paste_offset.width + resized.size.width);
  if (left >= right) return tile;
  for (int32_t row = 0; row < tile_size; ++row) {
    const int32_t source_row = y + row - paste_offset.height;
    if (source_row < 0 || source_row >= resized.size.height) continue;
    std::memcpy(tile.row(row) + static_cast<size_t>(left - x) * 3,
                resized.row(source_row) + static_cast<size_t>(left - paste_offset.width) * 3,
                static_cast<size_t>(right - left) * 3);
  }
  return tile;
}

std::vector<RgbImage> render_anyres_views(const RgbImage& image, const ImageProcessorConfig& config,
                                          const ImageLayout& layout, int num_threads) {
  const int32_t tile_size = config.tile_size();
  if (int64_t{layout.grid.width} * tile_size != layout.canvas.width ||
      int64_t{layout.grid.height} * tile_size != layout.canvas.height) {
    fail(ErrorCode::kInvalidArgument,
         "the layout has {}x{} tiles on a canvas of {}x{} pixels, and the image processor makes "
         "views of {} pixels; plan the layout with the processor's tile size",
         layout.grid.width, layout.grid.height, layout.canvas.width, layout.canvas.height,
         tile_size);
  }
  const ImageSize whole = config.shortest_edge > 0
                              ? ImageSize{config.shortest_edge, config.shortest_edge}
                              : config.exact_size;
  std::vector<RgbImage> views;
  views.push_back(render_view(resize(image, whole, num_threads), config, num_threads));
  const RgbImage resized = resize(image, layout.resized, num_threads);
  for (int32_t row = 0; row < layout.grid.height; ++row) {
    for (int32_t column = 0; column < layout.grid.width; ++column) {
      views.push_back(render_view(
          cut_tile(resized, layout.paste_offset, column * tile_size, row * tile_size, tile_size),
          config, num_threads));
    }
  }
  return views;
}

/// The 256 numbers that the values of one channel become.
std::array<float, 256> channel_values(const ImageProcessorConfig& config, size_t channel) {
  std::array<float, 256> table;
  const auto mean = static_cast<float>(config.mean[channel]);
  const auto deviation = static_cast<float>(config.std[channel]);
  for (int value = 0; value < 256; ++value) {
    auto result = static_cast<float>(value);
    if (config.do_rescale) {
      result = static_cast<float>(static_cast<double>(value) * config.rescale_factor);
    }
    if (config.do_normalize) result = (result - mean) / deviation;
    table[static_cast<size_t>(value)] = result;
  }
  return table;
}

}  // namespace

std::vector<RgbImage> render_views(const RgbImage& image, const ImageProcessorConfig& config,
                                   const ImageLayout& layout, int num_threads) {
  if (layout.original != image.size) {
    fail(ErrorCode::kInvalidArgument,
         "the layout was planned for {}x{} pixels and the picture has {}x{}; plan it again",
         layout.original.width, layout.original.height, image.size.width, image.size.height);
  }
  std::vector<RgbImage> views;
  switch (layout.mode) {
    case AspectMode::kSquare:
      views.push_back(render_view(image, config, num_threads));
      break;
    case AspectMode::kPad:
      views.push_back(render_view(padded_to_square(image, config), config, num_threads));
      break;
    case AspectMode::kAnyres:
      views = render_anyres_views(image, config, layout, num_threads);
      break;
  }
  return views;
}

PixelValues normalize_views(std::span<const RgbImage> views, const ImageProcessorConfig& config) {
  if (views.empty()) {
    fail(ErrorCode::kInvalidArgument, "there is no view to normalise, expected at least one");
  }
  const ImageSize size = views.front().size;
  PixelValues result;
  result.num_tiles = static_cast<int32_t>(views.size());
  result.height = size.height;
  result.width = size.width;
  const size_t num_pixels = static_cast<size_t>(size.width) * size.height;
  result.values.resize(views.size() * 3 * num_pixels);
  const std::array<std::array<float, 256>, 3> tables = {
      channel_values(config, 0), channel_values(config, 1), channel_values(config, 2)};
  float* out = result.values.data();
  for (const RgbImage& view : views) {
    if (view.size != size) {
      fail(ErrorCode::kInvalidArgument, "views of {}x{} and {}x{} pixels cannot be one tensor",
           size.width, size.height, view.size.width, view.size.height);
    }
    for (size_t channel = 0; channel < 3; ++channel, out += num_pixels) {
      const std::array<float, 256>& table = tables[channel];
      const uint8_t* pixels = view.pixels.data() + channel;
      for (size_t i = 0; i < num_pixels; ++i) out[i] = table[pixels[i * 3]];
    }
  }
  return result;
}

PixelValues preprocess(const RgbImage& image, const ImageProcessorConfig& config,
                       const ImageLayout& layout, int num_threads) {
  return normalize_views(render_views(image, config, layout, num_threads), config);
}

}  // namespace llava::image
