// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/media/image_input.h"

#include <algorithm>
#include <span>
#include <utility>

#include "llava/core/base64.h"
#include "llava/core/log.h"
#include "llava/image/decode.h"
#include "llava/serve/media/media_folder.h"

namespace llava::serve {
namespace {

constexpr int64_t kLargeJpegPixels = 4'000'000;

[[noreturn]] void fail_image(const ImageSource& source, std::string code, std::string message) {
  throw ApiError(400, std::move(code), source.param + ": " + std::move(message), source.param);
}

bool is_scheme(std::string_view location) {
  return location.substr(0, 16).find("://") != std::string_view::npos;
}

std::shared_ptr<const std::string> read_from_folder(const ImageSource& source,
                                                    const ImageLimits& limits) {
  if (!limits.media_folder.empty()) {
    try {
      return std::make_shared<const std::string>(
          read_media_file(limits.media_folder, source.location, limits.max_bytes));
    } catch (const Error& error) {
      log_warning("file_not_read", {{"reason", error.what()}});
    }
  }
  fail_image(source, "image_url_not_allowed", "this server reads no such file");
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

bool is_network_address(const ImageSource& source) {
  const std::string_view location = source.location;
  return equals_ignoring_case(location.substr(0, 7), "http://") ||
         equals_ignoring_case(location.substr(0, 8), "https://");
}

std::string_view origin_of(const ImageSource& source) {
  if (!source.file_id.empty()) return "file";
  if (is_network_address(source)) return "url";
  return source.location.starts_with("file://") ? "path" : "data";
}

ApiError image_fetch_error(const ImageSource& source) {
  return ApiError(400, "image_fetch_failed", source.param + ": The image could not be fetched.",
                  source.param);
}

std::shared_ptr<const std::string> read_image_bytes(const ImageSource& source,
                                                    const ImageLimits& limits) {
  if (source.bytes) return source.bytes;
  if (is_network_address(source)) {
    fail_image(source, "image_url_not_allowed",
               "this server fetches no pictures: send the picture itself, as a data: URL (who runs "
               "the server turns fetching on by --image-url-policy)");
  }
  if (source.location.starts_with("file://")) return read_from_folder(source, limits);
  if (is_scheme(source.location)) {
    fail_image(source, "image_url_not_allowed",
               "an address of this kind is not read: send the picture itself, as a data: URL");
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
  return std::make_shared<const std::string>(std::move(*bytes));
}

image::RgbImage decode_image(std::string_view bytes, const ImageSource& source,
                             const ImageLimits& limits) {
  const image::DecodeOptions options{
      .max_bytes = limits.max_bytes,
      .max_pixels = limits.max_pixels,
      .exif_transpose = limits.turns_by_exif,
      .rgba_background = image::Rgb{255, 255, 255},
      .reduce_jpeg_above = limits.reduces_large_jpeg ? kLargeJpegPixels : 0};
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
