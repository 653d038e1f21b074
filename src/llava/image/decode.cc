// SPDX-License-Identifier: Apache-2.0
#include "llava/image/decode.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/image/orientation.h"
#include "llava/image/picture_format.h"

namespace llava::image {
namespace {

struct Format {
  std::string_view name;
  bool (*matches)(std::string_view head);
  ImageSize (*probe)(const PictureRequest&);
  Picture (*decode)(const PictureRequest&);
};

bool is_jpeg(std::string_view head) { return head.starts_with("\xff\xd8\xff"); }
bool is_png(std::string_view head) { return head.starts_with("\x89PNG\r\n\x1a\n"); }
bool is_gif(std::string_view head) {
  return head.starts_with("GIF87a") || head.starts_with("GIF89a");
}
bool is_webp(std::string_view head) {
  return head.size() >= 12 && head.starts_with("RIFF") && head.substr(8, 4) == "WEBP";
}
bool is_bmp(std::string_view head) { return head.starts_with("BM"); }
bool is_tiff(std::string_view head) {
  using namespace std::string_view_literals;
  return head.starts_with("II*\0"sv) || head.starts_with("MM\0*"sv) ||
         head.starts_with("II+\0"sv) || head.starts_with("MM\0+"sv);
}

constexpr std::array<Format, 6> kFormats = {{{"JPEG", is_jpeg, probe_jpeg, decode_jpeg},
                                             {"PNG", is_png, probe_png, decode_png},
                                             {"WebP", is_webp, probe_webp, decode_webp},
                                             {"GIF", is_gif, probe_gif, decode_gif},
                                             {"BMP", is_bmp, probe_bmp, decode_bmp},
                                             {"TIFF", is_tiff, probe_tiff, decode_tiff}}};

constexpr size_t kHeadBytes = 16;

std::string_view head_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), kHeadBytes)};
}

/// Null for an unknown one.
const Format* find_format(std::string_view head) {
  const auto* const found =
      std::ranges::find_if(kFormats, [&](const Format& format) { return format.matches(head); });
  return found == kFormats.end() ? nullptr : found;
}

/// The format of the bytes, after the limit on their number.
const Format& sniff(std::span<const std::byte> bytes, std::string_view source,
                    const DecodeOptions& options) {
  if (bytes.size() > options.max_bytes) {
    fail(ErrorCode::kBadFormat,
         "'{}' has {} bytes, over the limit of {} for one picture; make the file smaller", source,
         bytes.size(), options.max_bytes);
  }
  if (bytes.empty()) {
    fail(ErrorCode::kBadFormat, "'{}' is empty, expected a picture; check the file", source);
  }
  const std::string_view head = head_of(bytes);
  if (const Format* format = find_format(head)) return *format;
  std::string found;
  for (const char byte : head.substr(0, 8)) {
    found += fmt::format(" {:02x}", static_cast<unsigned>(static_cast<unsigned char>(byte)));
  }
  fail(ErrorCode::kBadFormat,
       "'{}' is no picture in a known format: it begins with{}, expected JPEG, PNG, WebP, GIF, BMP "
       "or TIFF; convert it to one of these",
       source, found);
}

/// Composites the picture onto an opaque colour in Pillow's fixed point (Image.alpha_composite).
void composite(Picture& picture, Rgb background) {
  constexpr uint32_t precision_bits = 7;
  const std::array<uint32_t, 3> behind = {background.red, background.green, background.blue};
  uint8_t* pixel = picture.image.pixels.data();
  for (const uint8_t alpha : picture.alpha) {
    const uint32_t over = uint32_t{alpha} << precision_bits;
    const uint32_t under = (uint32_t{255} << precision_bits) - over;
    for (size_t channel = 0; channel < 3; ++channel, ++pixel) {
      const uint32_t sum = *pixel * over + behind[channel] * under + (0x80u << precision_bits);
      *pixel = static_cast<uint8_t>((((sum >> 8) + sum) >> 8) >> precision_bits);
    }
  }
}

uint8_t multiply_255(uint8_t a, uint8_t b) {
  const uint32_t product = uint32_t{a} * b + 128;
  return static_cast<uint8_t>(((product >> 8) + product) >> 8);
}

}  // namespace

Rgb rgb_of_cmyk(uint8_t cyan, uint8_t magenta, uint8_t yellow, uint8_t black) {
  const auto white = static_cast<uint8_t>(255 - black);
  const auto channel = [white](uint8_t ink) {
    return static_cast<uint8_t>(std::max(white - multiply_255(ink, white), 0));
  };
  return {channel(cyan), channel(magenta), channel(yellow)};
}

ImageSize checked_size(const PictureRequest& request, int64_t width, int64_t height) {
  if (width < 1 || height < 1) {
    fail(ErrorCode::kBadFormat,
         "'{}' says it is {}x{} pixels, expected at least 1x1; the file is damaged", request.source,
         width, height);
  }
  if (width > kMaxPictureSide || height > kMaxPictureSide) {
    fail(ErrorCode::kBadFormat,
         "'{}' is {}x{} pixels, over the limit of {} for one side; resize or crop it first",
         request.source, width, height, kMaxPictureSide);
  }
  if (width * height > request.max_pixels) {
    fail(ErrorCode::kBadFormat,
         "'{}' is {}x{} pixels ({} in all), over the limit of {}; resize it first", request.source,
         width, height, width * height, request.max_pixels);
  }
  return {static_cast<int32_t>(width), static_cast<int32_t>(height)};
}

void fail_damaged(const PictureRequest& request, std::string_view format, std::string_view reason) {
  fail(ErrorCode::kBadFormat,
       "'{}' is a damaged or truncated {} file of {} bytes: {}; get the file again", request.source,
       format, request.size(), reason);
}

void fail_unsupported(const PictureRequest& request, std::string_view format,
                      std::string_view reason) {
  fail(ErrorCode::kUnsupported, "'{}' is a {} file that cannot be read here: {}; convert it to PNG",
       request.source, format, reason);
}

std::string_view format_name(std::span<const std::byte> bytes) {
  const Format* const format = find_format(head_of(bytes));
  return format == nullptr ? std::string_view() : format->name;
}

RgbImage decode(std::span<const std::byte> bytes, std::string_view source,
                const DecodeOptions& options) {
  const Format& format = sniff(bytes, source, options);
  Picture picture =
      format.decode({bytes, source, options.max_pixels, options.rgba_background.has_value(),
                     options.num_threads, options.reduce_jpeg_above});
  if (options.rgba_background && !picture.alpha.empty()) {
    composite(picture, *options.rgba_background);
  }
  if (options.exif_transpose) {
    picture.image = orient(std::move(picture.image), picture.orientation);
  }
  return std::move(picture.image);
}

RgbImage decode_file(const std::filesystem::path& path, const DecodeOptions& options) {
  const auto file = MappedFile::open(path);
  return decode(file->bytes(), path.string(), options);
}

ImageSize probe_size(std::span<const std::byte> bytes, std::string_view source,
                     const DecodeOptions& options) {
  return sniff(bytes, source, options).probe({bytes, source, options.max_pixels});
}

}  // namespace llava::image
