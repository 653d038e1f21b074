// SPDX-License-Identifier: Apache-2.0
//
// The bytes of a picture that a request carries or names.
#pragma once

#include <string>
#include <string_view>

#include "llava/image/rgb_image.h"
#include "llava/serve/protocol/chat_request.h"

namespace llava::serve {

/// What pictures may be (serving.md 6.3, 6.13).
struct ImageLimits {
  uint64_t max_bytes = 20 << 20;
  int64_t max_pixels = 40'000'000;
  int32_t max_side = 20'000;
  bool turns_by_exif = true;
};

/// The encoded picture behind a source: a data: address or base64 by itself.
///
/// Throws: ApiError 400 naming the field: `image_url_not_allowed` for an address on a network or a
/// file, `invalid_image` for what is no base64, `image_too_large`.
std::string read_image_bytes(const ImageSource& source, const ImageLimits& limits);

/// Decodes a picture: transparency on white, turned as its Exif orientation says.
///
/// Throws: ApiError 400 `unsupported_image_format`, `invalid_image` or `image_too_large`.
image::RgbImage decode_image(std::string_view bytes, const ImageSource& source,
                             const ImageLimits& limits);

}  // namespace llava::serve
