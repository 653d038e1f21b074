// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/chat/picture_preparer.h"

#include <fmt/format.h>

#include <optional>
#include <span>
#include <string_view>

#include "llava/core/hash.h"
#include "llava/image/decode.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

/// Prepared pictures that are kept for being sent again; each has one tile or a few of 1.4 MB.
constexpr std::size_t kKeptPictures = 64;

}  // namespace

PicturePreparer::PicturePreparer(const engine::Pretrained& pretrained, const ImageLimits& limits,
                                 ServerMetrics& metrics)
    : pretrained_(pretrained),
      limits_(limits),
      metrics_(metrics),
      pictures_(Pictures(kKeptPictures)) {}

engine::PreparedImage PicturePreparer::prepare_bytes(const std::string& bytes,
                                                     const ImageSource& source,
                                                     const std::string& aspect_ratio) {
  return counted([&] { return find_or_prepare(bytes, source, aspect_ratio); });
}

engine::PreparedImage PicturePreparer::prepare(const ImageSource& source,
                                               const std::string& aspect_ratio) {
  return counted(
      [&] { return find_or_prepare(*read_image_bytes(source, limits_), source, aspect_ratio); });
}

std::vector<engine::PreparedImage> PicturePreparer::prepare_all(
    const std::vector<ImageSource>& sources, const std::string& aspect_ratio) {
  std::vector<engine::PreparedImage> images;
  for (const ImageSource& source : sources) images.push_back(prepare(source, aspect_ratio));
  return images;
}

engine::PreparedImage PicturePreparer::counted(FunctionRef<engine::PreparedImage()> prepare) {
  try {
    return prepare();
  } catch (const ApiError& error) {
    metrics_.count_image_failure(error.code());
    throw;
  }
}

engine::PreparedImage PicturePreparer::find_or_prepare(const std::string& bytes,
                                                       const ImageSource& source,
                                                       const std::string& aspect_ratio) {
  const Sha256 digest = sha256(std::as_bytes(std::span(bytes)));
  const std::string key =
      fmt::format("{} {} {}", to_hex(digest), aspect_ratio, source.is_low_detail);
  const auto known = pictures_.with([&](Pictures& pictures) {
    const engine::PreparedImage* found = pictures.find(key);
    return found != nullptr ? std::optional(*found) : std::nullopt;
  });
  metrics_.count_decoded_lookup(known.has_value());
  if (known) return *known;
  const image::RgbImage picture = decode_image(bytes, source, limits_);
  metrics_.count_image(std::string(origin_of(source)),
                       std::string(image::format_name(std::as_bytes(std::span(bytes)))),
                       int64_t{picture.size.width} * picture.size.height);
  engine::PreparedImage image = engine::prepare_image(
      pretrained_, picture, 1,
      {.aspect_ratio = aspect_ratio, .is_base_view_only = source.is_low_detail});
  pictures_.with([&](Pictures& pictures) { pictures.put(key, image); });
  return image;
}

}  // namespace llava::serve
