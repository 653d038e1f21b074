// SPDX-License-Identifier: Apache-2.0
//
// From the bytes of a picture file to RGB pixels: JPEG, PNG, WebP, GIF, BMP and TIFF, told apart by
// content, exactly as Pillow's Image.open(...).convert("RGB") gives them. Also the way back to PNG.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "llava/image/rgb_image.h"

namespace llava::image {

/// Longest side of any picture, whatever the limit on pixels.
inline constexpr int32_t kMaxPictureSide = 1'000'000;

/// Limits and choices of a decode. The limits hold before anything is decoded or allocated.
struct DecodeOptions {
  /// Largest file.
  uint64_t max_bytes = uint64_t{100} << 20;
  /// Most pixels of the picture; the default is where Pillow refuses a decompression bomb.
  int64_t max_pixels = 178'956'970;
  /// Turn the picture as its Exif orientation says. The original does not.
  bool exif_transpose = false;
  /// Composite transparent pictures onto this colour, as transformers 5 does with white. Unset:
  /// drop alpha and keep the stored colours, as Pillow, the original and transformers 4 do.
  std::optional<Rgb> rgba_background;
  /// JPEG files of more pixels are decoded at a half, a quarter or an eighth of their sides, the
  /// largest of these with no more: faster, and not the pixels that Pillow gives. 0: none are.
  int64_t reduce_jpeg_above = 0;
  /// Threads that may decode one large picture; the pixels do not depend on it.
  int num_threads = 1;
};

/// Decodes a picture; of an animation the first frame.
///
/// Colour profiles and gamma are ignored. A TIFF is turned as its orientation tag says, because
/// Pillow turns it while loading; other formats only with `exif_transpose`.
/// Throws: Error(kBadFormat) naming `source` for an unknown format, for damaged or truncated data
/// (never a partial picture), and above a limit, with the limit and the size found;
/// Error(kUnsupported) for forms that Pillow does not read either, and a few rare ones of TIFF.
/// Threads: safe.
/// Source: Pillow 13; tests/data/image/make_picture_goldens.py.
RgbImage decode(std::span<const std::byte> bytes, std::string_view source,
                const DecodeOptions& options = {});

/// Reads and decodes a file.
///
/// Throws: Error(kNotFound) when it cannot be opened, and as `decode` with its path as the source.
RgbImage decode_file(const std::filesystem::path& path, const DecodeOptions& options = {});

/// Size of a picture from its header: what `decode` gives without exif_transpose and
/// reduce_jpeg_above.
///
/// Throws: as `decode` for an unknown format, a damaged header, and a size above a limit.
ImageSize probe_size(std::span<const std::byte> bytes, std::string_view source,
                     const DecodeOptions& options = {});

/// Name of the format that the bytes begin like, "JPEG" for instance; empty for an unknown one.
std::string_view format_name(std::span<const std::byte> bytes);

/// The picture as a PNG file.
///
/// Throws: Error(kInvalidArgument) for an empty picture.   Threads: safe.
std::string encode_png(const RgbImage& image);

}  // namespace llava::image
