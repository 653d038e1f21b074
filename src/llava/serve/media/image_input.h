// SPDX-License-Identifier: Apache-2.0
//
// The bytes of a picture that a request carries or names.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "llava/image/rgb_image.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/chat_request.h"

namespace llava::serve {

/// What pictures may be (serving.md 6.3, 6.13).
struct ImageLimits {
  uint64_t max_bytes = 20 << 20;
  int64_t max_pixels = 40'000'000;
  int32_t max_side = 20'000;
  bool turns_by_exif = true;
  bool reduces_large_jpeg = false;  ///< of more than 4 million pixels
  std::string media_folder;         ///< below which file: addresses may point; empty: nowhere
};

/// Whether the picture has to be fetched before it can be read.
bool is_network_address(const ImageSource& source);

/// Where a picture comes from, as a label of the metrics: "file" that was sent ahead, "url", "path"
/// of a folder, or "data" in the request itself.
std::string_view origin_of(const ImageSource& source);

/// The encoded picture behind a source: a data: address, base64 by itself, what has been fetched,
/// or a file.
///
/// Throws: ApiError 400 naming the field: `image_url_not_allowed` for an address that is not to be
/// read, `invalid_image` for what is no base64, `image_too_large`.
std::shared_ptr<const std::string> read_image_bytes(const ImageSource& source,
                                                    const ImageLimits& limits);

/// What a client is told of a picture that was to be fetched and was not, whatever the reason.
ApiError image_fetch_error(const ImageSource& source);

/// Decodes a picture: transparency on white, turned as its Exif orientation says.
///
/// Throws: ApiError 400 `unsupported_image_format`, `invalid_image` or `image_too_large`.
image::RgbImage decode_image(std::string_view bytes, const ImageSource& source,
                             const ImageLimits& limits);

}  // namespace llava::serve
