// SPDX-License-Identifier: Apache-2.0
//
// The first picture of a TIFF through libtiff, strip by strip or tile by tile, turned into RGB as
// Pillow does it and upright as its orientation tag says.
#include <tiffio.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>

#include "llava/core/error.h"
#include "llava/image/orientation.h"
#include "llava/image/picture_format.h"
#include "llava/image/tiff_form.h"
#include "llava/image/tiff_rows.h"

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

struct TiffCloser {
  void operator()(TIFF* file) const { TIFFClose(file); }
};
using OpenTiff = std::unique_ptr<TIFF, TiffCloser>;

#if TIFFLIB_VERSION >= 20221213
int keep_error(TIFF*, void* user_data, const char*, const char* format, va_list arguments) {
  auto* stream = static_cast<Stream*>(user_data);
  char text[256];
  std::vsnprintf(text, sizeof text, format, arguments);
  if (stream->error.empty()) stream->error = text;
  return 1;
}

int ignore_warning(TIFF*, void*, const char*, const char*, va_list) { return 1; }

OpenTiff open_stream(Stream& stream) {
  TIFFOpenOptions* options = TIFFOpenOptionsAlloc();
  TIFFOpenOptionsSetMaxSingleMemAlloc(options, static_cast<tmsize_t>(kMaxAllocation));
  TIFFOpenOptionsSetErrorHandlerExtR(options, keep_error, &stream);
  TIFFOpenOptionsSetWarningHandlerExtR(options, ignore_warning, nullptr);
  OpenTiff file(TIFFClientOpenExt("picture", "r", &stream, read_bytes, refuse_write, seek,
                                  close_nothing, size_of, map_file, unmap_nothing, options));
  TIFFOpenOptionsFree(options);
  return file;
}
#else
/// Before libtiff 4.5 its messages have one handler per process; ours keeps silent.
OpenTiff open_stream(Stream& stream) {
  static std::once_flag is_silenced;
  std::call_once(is_silenced, [] {
    TIFFSetErrorHandler(nullptr);
    TIFFSetWarningHandler(nullptr);
  });
  return OpenTiff(TIFFClientOpen("picture", "r", &stream, read_bytes, refuse_write, seek,
                                 close_nothing, size_of, map_file, unmap_nothing));
}
#endif

[[noreturn]] void fail_tiff(const PictureRequest& request, const Stream& stream) {
  fail_damaged(request, "TIFF", stream.error.empty() ? "the data end early" : stream.error);
}

OpenTiff open(Stream& stream, const PictureRequest& request) {
  stream.data = request.data();
  stream.size = request.size();
  OpenTiff file = open_stream(stream);
  if (!file) fail_tiff(request, stream);
  return file;
}

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
    fail(ErrorCode::kBadFormat,
         "'{}' has strips or tiles of {} bytes, over the limit of {}; save it with smaller ones",
         request.source, num_bytes, limit);
  }
  return std::vector<uint8_t>(num_bytes);
}

void read_strips(TIFF* file, Stream& stream, const PictureRequest& request, const TiffForm& form,
                 TiffRowConverter& converter) {
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
                TiffRowConverter& converter) {
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
  const OpenTiff file = open(stream, request);
  const TiffForm form = read_tiff_form(file.get(), request);
  return oriented_size(form.size, form.orientation);
}

Picture decode_tiff(const PictureRequest& request) {
  Stream stream;
  const OpenTiff file = open(stream, request);
  const TiffForm form = read_tiff_form(file.get(), request);
  Picture picture;
  if (form.kind == TiffKind::kLibraryRgb) {
    read_library_rgb(file.get(), stream, request, form, picture);
  } else {
    TiffRowConverter converter(file.get(), form, request, picture);
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
