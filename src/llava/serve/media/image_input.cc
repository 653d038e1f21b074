// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/media/image_input.h"

#include <algorithm>
#include <span>
#include <utility>

#include "llava/image/decode.h"
#include "llava/serve/media/base64.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

[[noreturn]] void fail_image(const ImageSource& source, std::string code, std::string message) {
  throw ApiError(400, std::move(code), source.param + ": " + std::move(message), source.param);
}

bool is_scheme(std::string_view location) {
  const std::size_t colon = location.substr(0, 16).find("://");
  return colon != std::string_view::npos || location.starts_with("file:");
}

/// The base64 of a data: address; source: RFC 2397.
std::string_view data_of(const ImageSource& source) {
  const std::string_view location = source.location;
  if (!equals_ignoring_case(location.substr(0, 5), "data:")) return location;
  const std::size_t comma = location.find(',');
  if (comma == std::string_view::npos)
    fail_image(source, "invalid_image", "a data: URL without ','");
  const std::string_view type = location.substr(5, comma - 5);
  const std::string_view media = type.substr(0, type.find(';'));
  if (!type.ends_with(";base64")) {
    fail_image(source, "invalid_image", "a data: URL has to be in base64");
  }
  if (!media.empty() && !media.starts_with("image/") && media != "application/octet-stream") {
    fail_image(source, "invalid_image", "a data: URL of type image/* is expected");
  }
  return location.substr(comma + 1);
}

}  // namespace

std::string read_image_bytes(const ImageSource& source, const ImageLimits& limits) {
  if (is_scheme(source.location)) {
    fail_image(source, "image_url_not_allowed",
               "this server fetches no pictures: send the picture itself, as a data: URL");
  }
  const std::string_view data = data_of(source);
  if (data.size() / 4 * 3 > limits.max_bytes) {
    fail_image(source, "image_too_large",
               fmt::format("the picture has more than {} bytes", limits.max_bytes));
  }
  auto bytes = decode_base64(data);
  if (!bytes || bytes->empty()) {
    fail_image(source, "invalid_image", "the picture is no base64, and no data: URL of it");
  }
  return std::move(*bytes);
}

image::RgbImage decode_image(std::string_view bytes, const ImageSource& source,
                             const ImageLimits& limits) {
  const image::DecodeOptions options{.max_bytes = limits.max_bytes,
                                     .max_pixels = limits.max_pixels,
                                     .exif_transpose = limits.turns_by_exif,
                                     .rgba_background = image::Rgb{255, 255, 255}};
  const auto span = std::as_bytes(std::span(bytes));
  try {
    const image::ImageSize size = image::probe_size(span, "the picture", options);
    if (std::max(size.width, size.height) > limits.max_side) {
      fail_image(source, "image_too_large",
                 fmt::format("a side of {} pixels, expected at most {}",
                             std::max(size.width, size.height), limits.max_side));
    }
    return image::decode(span, "the picture", options);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kResourceExhausted || error.code() == ErrorCode::kInternal)
      throw;
    const bool is_unsupported = error.code() == ErrorCode::kUnsupported;
    fail_image(source, is_unsupported ? "unsupported_image_format" : "invalid_image", error.what());
  }
}

}  // namespace llava::serve
