// SPDX-License-Identifier: Apache-2.0
//
// The first picture of a TIFF through libtiff, strip by strip or tile by tile, turned into RGB as
// Pillow does it and upright as its orientation tag says.
#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <string>

#include "llava/core/error.h"
#include "llava/image/orientation.h"
#include "llava/image/picture_format.h"
#include "llava/image/tiff_form.h"

namespace llava::image {
namespace {

/// What libtiff may allocate at once.
constexpr uint64_t kMaxAllocation = uint64_t{1} << 30;

/// Tiles may be larger than a small picture, up to this many bytes.
constexpr uint64_t kLargeTile = uint64_t{32} << 20;

/// The file in memory, as libtiff's callbacks see it, and the first error it reported.
struct Stream {
  const uint8_t* data = nullptr;
  uint64_t size = 0;
  uint64_t position = 0;
  std::string error;
};

Stream& stream_of(thandle_t handle) { return *static_cast<Stream*>(handle); }

tmsize_t read_bytes(thandle_t handle, void* out, tmsize_t count) {
  Stream& stream = stream_of(handle);
  const uint64_t available = stream.size - std::min(stream.position, stream.size);
  const uint64_t num_read =
      std::min(available, static_cast<uint64_t>(std::max<tmsize_t>(count, 0)));
  if (num_read > 0) std::memcpy(out, stream.data + stream.position, num_read);
  stream.position += num_read;
  return static_cast<tmsize_t>(num_read);
}

tmsize_t refuse_write(thandle_t, void*, tmsize_t) { return -1; }

toff_t seek(thandle_t handle, toff_t offset, int whence) {
  Stream& stream = stream_of(handle);
  if (whence == SEEK_CUR) offset += stream.position;
  if (whence == SEEK_END) offset += stream.size;
  stream.position = offset;
  return offset;
}

int close_nothing(thandle_t) { return 0; }
toff_t size_of(thandle_t handle) { return stream_of(handle).size; }

int map_file(thandle_t handle, void** base, toff_t* size) {
  // libtiff takes a plain pointer and only reads from it in read mode.
  *base = const_cast<uint8_t*>(stream_of(handle).data);
  *size = stream_of(handle).size;
  return 1;
}

void unmap_nothing(thandle_t, void*, toff_t) {}

struct FileCloser {
  void operator()(TIFF* file) const { TIFFClose(file); }
};
using File = std::unique_ptr<TIFF, FileCloser>;

#if TIFFLIB_VERSION >= 20221213
int keep_error(TIFF*, void* user_data, const char*, const char* format, va_list arguments) {
  auto* stream = static_cast<Stream*>(user_data);
  char text[256];
  std::vsnprintf(text, sizeof text, format, arguments);
  if (stream->error.empty()) stream->error = text;
  return 1;
}

int ignore_warning(TIFF*, void*, const char*, const char*, va_list) { return 1; }

File open_stream(Stream& stream) {
  TIFFOpenOptions* options = TIFFOpenOptionsAlloc();
  TIFFOpenOptionsSetMaxSingleMemAlloc(options, static_cast<tmsize_t>(kMaxAllocation));
  TIFFOpenOptionsSetErrorHandlerExtR(options, keep_error, &stream);
  TIFFOpenOptionsSetWarningHandlerExtR(options, ignore_warning, nullptr);
  File file(TIFFClientOpenExt("picture", "r", &stream, read_bytes, refuse_write, seek,
                              close_nothing, size_of, map_file, unmap_nothing, options));
  TIFFOpenOptionsFree(options);
  return file;
}
#else
/// Before libtiff 4.5 its messages have one handler per process; ours keeps silent.
File open_stream(Stream& stream) {
  static std::once_flag is_silenced;
  std::call_once(is_silenced, [] {
    TIFFSetErrorHandler(nullptr);
    TIFFSetWarningHandler(nullptr);
  });
  return File(TIFFClientOpen("picture", "r", &stream, read_bytes, refuse_write, seek, close_nothing,
                             size_of, map_file, unmap_nothing));
}
#endif

[[noreturn]] void fail_tiff(const PictureRequest& request, const Stream& stream) {
  fail_damaged(request, "TIFF", stream.error.empty() ? "the data end early" : stream.error);
}

File open(Stream& stream, const PictureRequest& request) {
  stream.data = request.data();
  stream.size = request.size();
  File file = open_stream(stream);
  if (!file) fail_tiff(request, stream);
  return file;
}

uint8_t clip(double value) {
  return value >= 255 ? uint8_t{255} : value > 0 ? static_cast<uint8_t>(value) : uint8_t{0};
}

/// Turns rows of stored samples into the picture's channels.
class RowConverter {
 public:
  RowConverter(TIFF* file, const TiffForm& form, const PictureRequest& request, Picture& picture)
      : form_(form), picture_(picture) {
    picture_.image = RgbImage(form.size);
    const bool has_fourth = form.kind == TiffKind::kCmyk || form.alpha == TiffAlpha::kPremultiplied;
    if (has_fourth || (form.alpha != TiffAlpha::kNone && request.needs_alpha)) {
      fourth_.assign(picture_.image.pixels.size() / 3, 255);
    }
    if (form.kind == TiffKind::kPalette) read_palette(file, request);
  }

  /// Bytes of a row of `width` pixels as stored.
  uint64_t row_bytes(uint64_t width) const {
    const uint64_t samples = form_.is_planar ? 1 : form_.num_samples;
    return (width * samples * form_.bits + 7) / 8;
  }

  /// Takes `width` pixels that begin at (x, y); of a planar file one plane of them.
  void convert(const uint8_t* row, int32_t x, int32_t y, int32_t width, int plane) {
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

  /// What needs all channels of a pixel; hands alpha over.
  void finish(bool needs_alpha) {
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

 private:
  static void store(Rgb color, uint8_t* pixel) {
    pixel[0] = color.red;
    pixel[1] = color.green;
    pixel[2] = color.blue;
  }

  static void divide_by_alpha(uint8_t alpha, uint8_t* pixel) {
    for (size_t channel = 0; channel < 3; ++channel) {
      if (alpha == 0) {
        pixel[channel] = 0;
      } else {
        pixel[channel] = static_cast<uint8_t>(std::min(pixel[channel] * 255 / alpha, 255));
      }
    }
  }

  /// Pillow's conversion: tables of six fractional bits, rounded half up and then towards zero.
  static Rgb rgb_of_ycc(uint8_t luminance, uint8_t blue_difference, uint8_t red_difference) {
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

  void read_palette(TIFF* file, const PictureRequest& request) {
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
  uint8_t sample(const uint8_t* row, size_t index) const {
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

  static uint8_t high_byte(const uint8_t* stored) {
    uint16_t value = 0;
    std::memcpy(&value, stored, sizeof value);
    return static_cast<uint8_t>(value >> 8);
  }

  template <class T>
  static double number(const uint8_t* row, size_t index) {
    T value{};
    std::memcpy(&value, row + index * sizeof value, sizeof value);
    return static_cast<double>(value);
  }

  uint8_t clipped_sample(const uint8_t* row, size_t index) const {
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

  /// Stores sample `s` of pixel `i`.
  void put(uint8_t* out, uint8_t* fourth, size_t i, size_t s, uint8_t value) const {
    if (s >= form_.num_colors) {
      const bool is_alpha = s == form_.num_colors && form_.alpha != TiffAlpha::kNone;
      if (is_alpha && fourth != nullptr) fourth[i] = value;
    } else if (form_.kind == TiffKind::kPalette) {
      store(palette_[value], out);
    } else if (form_.num_colors == 1) {
      out[0] = out[1] = out[2] = value;
    } else if (s < 3) {
      out[s] = value;
    } else if (fourth != nullptr) {
      fourth[i] = value;
    }
  }

  const TiffForm& form_;
  Picture& picture_;
  std::vector<uint8_t> fourth_;  ///< alpha or black ink
  std::array<Rgb, 256> palette_{};
};

/// Buffer for one strip or tile of which libtiff says how many bytes it needs; no larger than the
/// whole picture as stored, or than a large tile.
std::vector<uint8_t> block_buffer(const PictureRequest& request, const TiffForm& form,
                                  uint64_t num_bytes, uint64_t row_bytes,
                                  uint64_t needed_row_bytes) {
  if (num_bytes == 0 || row_bytes < needed_row_bytes) {
    fail_damaged(request, "TIFF", "its strips or tiles are smaller than its pixels need");
  }
  const uint64_t pixels = static_cast<uint64_t>(form.size.width) * form.size.height;
  const uint64_t limit = std::max(pixels * form.num_samples * ((form.bits + 7u) / 8), kLargeTile);
  if (num_bytes > limit) {
    fail(ErrorCode::kResourceExhausted,
         "'{}' has strips or tiles of {} bytes, over the limit of {}; save it with smaller ones",
         request.source, num_bytes, limit);
  }
  return std::vector<uint8_t>(num_bytes);
}

void read_strips(TIFF* file, Stream& stream, const PictureRequest& request, const TiffForm& form,
                 RowConverter& converter) {
  const uint64_t row_bytes = TIFFScanlineSize64(file);
  std::vector<uint8_t> strip =
      block_buffer(request, form, TIFFStripSize64(file), row_bytes,
                   converter.row_bytes(static_cast<uint64_t>(form.size.width)));
  uint32_t rows_per_strip = 0;
  TIFFGetFieldDefaulted(file, TIFFTAG_ROWSPERSTRIP, &rows_per_strip);
  const int32_t step = static_cast<int32_t>(
      std::clamp<uint32_t>(rows_per_strip, 1, static_cast<uint32_t>(form.size.height)));
  const int num_planes = form.is_planar ? form.num_samples : 1;
  for (int plane = 0; plane < num_planes; ++plane) {
    for (int32_t y = 0; y < form.size.height; y += step) {
      const int32_t rows = std::min(step, form.size.height - y);
      const uint64_t needed = row_bytes * static_cast<uint64_t>(rows);
      const uint32_t index =
          TIFFComputeStrip(file, static_cast<uint32_t>(y), static_cast<uint16_t>(plane));
      if (needed > strip.size()) fail_damaged(request, "TIFF", "its strips are inconsistent");
      const tmsize_t num_read =
          TIFFReadEncodedStrip(file, index, strip.data(), static_cast<tmsize_t>(strip.size()));
      if (num_read < 0 || static_cast<uint64_t>(num_read) < needed) fail_tiff(request, stream);
      for (int32_t row = 0; row < rows; ++row) {
        converter.convert(strip.data() + static_cast<uint64_t>(row) * row_bytes, 0, y + row,
                          form.size.width, plane);
      }
    }
  }
}

void read_tiles(TIFF* file, Stream& stream, const PictureRequest& request, const TiffForm& form,
                RowConverter& converter) {
  uint32_t tile_width = 0;
  uint32_t tile_height = 0;
  TIFFGetField(file, TIFFTAG_TILEWIDTH, &tile_width);
  TIFFGetField(file, TIFFTAG_TILELENGTH, &tile_height);
  const uint64_t row_bytes = TIFFTileRowSize64(file);
  std::vector<uint8_t> tile =
      block_buffer(request, form, TIFFTileSize64(file), row_bytes, converter.row_bytes(tile_width));
  if (tile_width == 0 || tile_height == 0 || row_bytes > tile.size() / tile_height) {
    fail_damaged(request, "TIFF", "its tiles are inconsistent");
  }
  const auto width = static_cast<uint32_t>(form.size.width);
  const auto height = static_cast<uint32_t>(form.size.height);
  const int num_planes = form.is_planar ? form.num_samples : 1;
  for (int plane = 0; plane < num_planes; ++plane) {
    for (uint64_t y = 0; y < height; y += tile_height) {
      for (uint64_t x = 0; x < width; x += tile_width) {
        if (TIFFReadTile(file, tile.data(), static_cast<uint32_t>(x), static_cast<uint32_t>(y), 0,
                         static_cast<uint16_t>(plane)) < 0) {
          fail_tiff(request, stream);
        }
        const auto columns = static_cast<int32_t>(std::min<uint64_t>(tile_width, width - x));
        const uint64_t rows = std::min<uint64_t>(tile_height, height - y);
        for (uint64_t row = 0; row < rows; ++row) {
          converter.convert(tile.data() + row * row_bytes, static_cast<int32_t>(x),
                            static_cast<int32_t>(y + row), columns, plane);
        }
      }
    }
  }
}

/// The whole picture in libtiff's own RGBA form, for chrominance in forms of its own.
void read_library_rgb(TIFF* file, const Stream& stream, const PictureRequest& request,
                      const TiffForm& form, Picture& picture) {
  picture.image = RgbImage(form.size);
  std::vector<uint32_t> raster(picture.image.pixels.size() / 3);
  const auto width = static_cast<uint32_t>(form.size.width);
  const auto height = static_cast<uint32_t>(form.size.height);
  // The stored orientation is applied by the caller, for every kind alike.
  TIFFSetField(file, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
  if (TIFFReadRGBAImageOriented(file, width, height, raster.data(), ORIENTATION_TOPLEFT, 1) == 0) {
    fail_tiff(request, stream);
  }
  uint8_t* out = picture.image.pixels.data();
  for (const uint32_t pixel : raster) {
    *out++ = static_cast<uint8_t>(TIFFGetR(pixel));
    *out++ = static_cast<uint8_t>(TIFFGetG(pixel));
    *out++ = static_cast<uint8_t>(TIFFGetB(pixel));
  }
}

}  // namespace

ImageSize probe_tiff(const PictureRequest& request) {
  Stream stream;
  const File file = open(stream, request);
  const TiffForm form = read_tiff_form(file.get(), request);
  return oriented_size(form.size, form.orientation);
}

Picture decode_tiff(const PictureRequest& request) {
  Stream stream;
  const File file = open(stream, request);
  const TiffForm form = read_tiff_form(file.get(), request);
  Picture picture;
  if (form.kind == TiffKind::kLibraryRgb) {
    read_library_rgb(file.get(), stream, request, form, picture);
  } else {
    RowConverter converter(file.get(), form, request, picture);
    if (TIFFIsTiled(file.get()) != 0) {
      read_tiles(file.get(), stream, request, form, converter);
    } else {
      read_strips(file.get(), stream, request, form, converter);
    }
    converter.finish(request.needs_alpha);
  }
  picture.image = orient(std::move(picture.image), form.orientation);
  if (!picture.alpha.empty()) {
    picture.alpha = orient_plane(std::move(picture.alpha), form.size, form.orientation);
  }
  return picture;
}

}  // namespace llava::image
