// SPDX-License-Identifier: Apache-2.0
#include "llava/image/tiff_rows.h"

#include <tiffio.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace llava::image {
namespace {

uint8_t clip(double value) {
  return value >= 255 ? uint8_t{255} : value > 0 ? static_cast<uint8_t>(value) : uint8_t{0};
}

uint8_t high_byte(const uint8_t* stored) {
  uint16_t value = 0;
  std::memcpy(&value, stored, sizeof value);
  return static_cast<uint8_t>(value >> 8);
}

template <class T>
double number(const uint8_t* row, size_t index) {
  T value{};
  std::memcpy(&value, row + index * sizeof value, sizeof value);
  return static_cast<double>(value);
}

void store(Rgb color, uint8_t* pixel) {
  pixel[0] = color.red;
  pixel[1] = color.green;
  pixel[2] = color.blue;
}

void divide_by_alpha(uint8_t alpha, uint8_t* pixel) {
  for (size_t channel = 0; channel < 3; ++channel) {
    pixel[channel] =
        alpha == 0 ? uint8_t{0} : static_cast<uint8_t>(std::min(pixel[channel] * 255 / alpha, 255));
  }
}

/// Pillow's conversion: tables of six fractional bits, rounded half up and then towards zero.
Rgb rgb_of_ycc(uint8_t luminance, uint8_t blue_difference, uint8_t red_difference) {
  const auto scaled = [](double factor, int difference) {
    return static_cast<int>(factor * (difference - 128) * 64 + 0.5);
  };
  const auto channel = [luminance](int difference) {
    return static_cast<uint8_t>(std::clamp(luminance + (difference >> 6), 0, 255));
  };
  return {channel(scaled(1.40200, red_difference)),
          channel(scaled(-0.34414, blue_difference) + scaled(-0.71414, red_difference)),
          channel(scaled(1.77200, blue_difference))};
}

}  // namespace

TiffRowConverter::TiffRowConverter(::tiff* file, const TiffForm& form,
                                   const PictureRequest& request, Picture& picture)
    : form_(form), picture_(picture) {
  picture_.image = RgbImage(form.size);
  const bool has_fourth = form.kind == TiffKind::kCmyk || form.alpha == TiffAlpha::kPremultiplied;
  if (has_fourth || (form.alpha != TiffAlpha::kNone && request.needs_alpha)) {
    fourth_.assign(picture_.image.pixels.size() / 3, 255);
  }
  if (form.kind == TiffKind::kPalette) read_palette(file, request);
}

uint64_t TiffRowConverter::row_bytes(uint64_t width) const {
  const uint64_t samples = form_.is_planar ? 1 : form_.num_samples;
  return (width * samples * form_.bits + 7) / 8;
}

void TiffRowConverter::convert(const uint8_t* row, int32_t x, int32_t y, int32_t width, int plane) {
  uint8_t* out = picture_.image.row(y) + static_cast<size_t>(x) * 3;
  uint8_t* fourth =
      fourth_.empty() ? nullptr : fourth_.data() + static_cast<size_t>(y) * form_.size.width + x;
  const size_t stride = form_.is_planar ? 1 : form_.num_samples;
  for (size_t i = 0; i < static_cast<size_t>(width); ++i, out += 3) {
    const size_t first = i * stride;
    if (form_.is_planar) {
      put(out, fourth, i, static_cast<size_t>(plane), sample(row, first));
      continue;
    }
    for (size_t s = 0; s < form_.num_samples; ++s) put(out, fourth, i, s, sample(row, first + s));
  }
}

void TiffRowConverter::finish(bool needs_alpha) {
  uint8_t* pixel = picture_.image.pixels.data();
  const size_t num_pixels = picture_.image.pixels.size() / 3;
  for (size_t i = 0; i < num_pixels; ++i, pixel += 3) {
    if (form_.kind == TiffKind::kCmyk) {
      store(rgb_of_cmyk(pixel[0], pixel[1], pixel[2], fourth_[i]), pixel);
    } else if (form_.kind == TiffKind::kYcc) {
      store(rgb_of_ycc(pixel[0], pixel[1], pixel[2]), pixel);
    } else if (form_.alpha == TiffAlpha::kPremultiplied) {
      divide_by_alpha(fourth_[i], pixel);
    } else {
      break;
    }
  }
  if (needs_alpha && form_.alpha != TiffAlpha::kNone) picture_.alpha = std::move(fourth_);
}

void TiffRowConverter::read_palette(::tiff* file, const PictureRequest& request) {
  std::array<uint16_t*, 3> maps{};
  if (TIFFGetField(file, TIFFTAG_COLORMAP, &maps[0], &maps[1], &maps[2]) == 0) {
    fail_damaged(request, "TIFF", "it has palette indices and no colour map");
  }
  const size_t num_colors = size_t{1} << form_.bits;
  for (size_t i = 0; i < num_colors; ++i) {
    palette_[i] = {static_cast<uint8_t>(maps[0][i] >> 8), static_cast<uint8_t>(maps[1][i] >> 8),
                   static_cast<uint8_t>(maps[2][i] >> 8)};
  }
}

/// The sample in 8 bits; an index for palettes.
uint8_t TiffRowConverter::sample(const uint8_t* row, size_t index) const {
  if (form_.bits == 8) return form_.is_inverted ? static_cast<uint8_t>(~row[index]) : row[index];
  if (form_.bits < 8) {
    const size_t bit = index * form_.bits;
    const auto maximum = static_cast<uint8_t>((1 << form_.bits) - 1);
    const auto value = static_cast<uint8_t>(row[bit / 8] >> (8 - form_.bits - bit % 8) & maximum);
    if (form_.kind == TiffKind::kPalette) return value;
    const auto grey = static_cast<uint8_t>(value * (255 / maximum));
    return form_.is_inverted ? static_cast<uint8_t>(~grey) : grey;
  }
  return form_.kind == TiffKind::kGreyClip ? clipped_sample(row, index)
                                           : high_byte(row + index * 2);
}

uint8_t TiffRowConverter::clipped_sample(const uint8_t* row, size_t index) const {
  if (form_.bits == 12) {
    const uint8_t* stored = row + index / 2 * 3;
    return clip(index % 2 == 0 ? stored[0] << 4 | stored[1] >> 4
                               : (stored[1] & 15) << 8 | stored[2]);
  }
  if (form_.is_float) return clip(number<float>(row, index));
  // Pillow keeps unsigned numbers of 32 bits as signed ones.
  if (form_.bits == 32) return clip(number<int32_t>(row, index));
  return clip(form_.is_signed ? number<int16_t>(row, index) : number<uint16_t>(row, index));
}

/// Stores one sample of a pixel where it belongs.
void TiffRowConverter::put(uint8_t* out, uint8_t* fourth, size_t pixel, size_t sample,
                           uint8_t value) const {
  if (sample >= form_.num_colors) {
    const bool is_alpha = sample == form_.num_colors && form_.alpha != TiffAlpha::kNone;
    if (is_alpha && fourth != nullptr) fourth[pixel] = value;
  } else if (form_.kind == TiffKind::kPalette) {
    store(palette_[value], out);
  } else if (form_.num_colors == 1) {
    out[0] = out[1] = out[2] = value;
  } else if (sample < 3) {
    out[sample] = value;
  } else if (fourth != nullptr) {
    fourth[pixel] = value;
  }
}

}  // namespace llava::image
