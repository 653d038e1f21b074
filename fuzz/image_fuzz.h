// SPDX-License-Identifier: Apache-2.0
//
// What the fuzz targets of the picture formats share; they differ in their corpora.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>

#include "llava/core/error.h"
#include "llava/image/decode.h"

/// Decodes the bytes as a picture: an Error or a picture of the size the header promised.
inline void fuzz_picture(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const llava::image::DecodeOptions options{.max_pixels = 1 << 18,
                                            .rgba_background = llava::image::Rgb{255, 255, 255}};
  std::optional<llava::image::ImageSize> promised;
  try {
    promised = llava::image::probe_size(bytes, "fuzz", options);
  } catch (const llava::Error& error) {
    if (error.code() == llava::ErrorCode::kInternal) std::abort();
  }
  try {
    const llava::image::RgbImage image = llava::image::decode(bytes, "fuzz", options);
    if (!promised || image.size != *promised ||
        image.pixels.size() != static_cast<size_t>(image.size.width) * image.size.height * 3) {
      std::abort();
    }
  } catch (const llava::Error& error) {
    if (error.code() == llava::ErrorCode::kInternal) std::abort();
  }
}
