// SPDX-License-Identifier: Apache-2.0
//
// What the readers of the single formats share: the request they serve, the pixels they hand back,
// and the checks that come before any allocation. Used by decode.cc only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llava/image/rgb_image.h"

namespace llava::image {

/// A picture file to be read.
struct PictureRequest {
  std::span<const std::byte> bytes;
  std::string_view source;  ///< names the file in messages
  int64_t max_pixels = 0;
  bool needs_alpha = false;       ///< alpha is wanted; readers may leave it out otherwise
  int num_threads = 1;            ///< threads that readers may use; the pixels do not depend on it
  int64_t reduce_jpeg_above = 0;  ///< as DecodeOptions

  const uint8_t* data() const { return reinterpret_cast<const uint8_t*>(bytes.data()); }
  size_t size() const { return bytes.size(); }
};

/// What a format's reader found.
struct Picture {
  RgbImage image;
  std::vector<uint8_t> alpha;  ///< [height * width], or empty: no alpha, or it was not wanted
  int orientation = 1;         ///< Exif orientation, 1 to 8
};

/// The size a header claims, after the limits.
///
/// Throws: Error(kBadFormat) for an empty picture and above a limit.
ImageSize checked_size(const PictureRequest& request, int64_t width, int64_t height);

/// Throws Error(kBadFormat): "'<source>' is a damaged or truncated <format> file: <reason>...".
[[noreturn]] void fail_damaged(const PictureRequest& request, std::string_view format,
                               std::string_view reason);

/// Throws Error(kUnsupported): the file is sound but of a kind that is not read.
[[noreturn]] void fail_unsupported(const PictureRequest& request, std::string_view format,
                                   std::string_view reason);

/// One pixel of CMYK ink (0 = none) as Pillow turns it into RGB.
Rgb rgb_of_cmyk(uint8_t cyan, uint8_t magenta, uint8_t yellow, uint8_t black);

ImageSize probe_jpeg(const PictureRequest& request);
ImageSize probe_png(const PictureRequest& request);
ImageSize probe_webp(const PictureRequest& request);
ImageSize probe_gif(const PictureRequest& request);
ImageSize probe_bmp(const PictureRequest& request);
ImageSize probe_tiff(const PictureRequest& request);

Picture decode_jpeg(const PictureRequest& request);
Picture decode_png(const PictureRequest& request);
Picture decode_webp(const PictureRequest& request);
Picture decode_gif(const PictureRequest& request);
Picture decode_bmp(const PictureRequest& request);
Picture decode_tiff(const PictureRequest& request);

}  // namespace llava::image
