// SPDX-License-Identifier: Apache-2.0
#include "llava/image/picture_recipe.h"

#include <fmt/format.h>

#include <bit>
#include <cstdint>

namespace llava::image {
namespace {

// Numbers by their bits: two constants that print alike may differ.
uint64_t bits(double value) { return std::bit_cast<uint64_t>(value); }

std::string sizes(const std::vector<ImageSize>& list) {
  std::string text;
  for (const ImageSize& size : list) {
    text += fmt::format("{}x{},", size.width, size.height);
  }
  return text;
}

}  // namespace

std::string preprocessing_recipe(const ImageProcessorConfig& processor,
                                 const ImageGeometry& geometry) {
  const ImageProcessorConfig& p = processor;
  std::string text = fmt::format(
      "1;kind={};resize={},{},{}x{};crop={},{}x{};rescale={},{:x};pad={};processor_pinpoints={};",
      static_cast<int>(p.kind), p.do_resize, p.shortest_edge, p.exact_size.width,
      p.exact_size.height, p.do_center_crop, p.crop_size.width, p.crop_size.height, p.do_rescale,
      bits(p.rescale_factor), p.do_pad_to_square, sizes(p.pinpoints));
  text += fmt::format("normalize={}", p.do_normalize);
  for (std::size_t channel = 0; channel < p.mean.size(); ++channel) {
    text += fmt::format(",{:x}/{:x}", bits(p.mean[channel]), bits(p.std[channel]));
  }
  const ImageGeometry& g = geometry;
  text += fmt::format(";mode={};rules={};merge={},{},{};tile={};patches={};class={};center={};",
                      static_cast<int>(g.mode), static_cast<int>(g.rules), g.merge.is_spatial,
                      g.merge.has_unpad, g.merge.max_views, g.tile_size, g.patches_per_side,
                      g.has_class_token, g.has_center_crop);
  text += "pinpoints=" + sizes(g.pinpoints);
  return text;
}

std::string decode_recipe(const DecodeOptions& options) {
  std::string text = fmt::format("1;exif_transpose={};background=", options.exif_transpose);
  if (const auto& color = options.rgba_background) {
    text += fmt::format("{},{},{}", color->red, color->green, color->blue);
  }
  return text;
}

}  // namespace llava::image
