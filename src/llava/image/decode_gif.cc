// SPDX-License-Identifier: Apache-2.0
//
// The first frame of a GIF through giflib, on a canvas as Pillow lays it out: as large as screen
// and frame together, filled with the frame's transparent index, else with index 0.
#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>

#include "llava/image/picture_format.h"

namespace llava::image {
namespace {

constexpr int kGraphicControl = 0xF9;

struct Bytes {
  const uint8_t* next;
  size_t remaining;
};

int read_bytes(GifFileType* file, GifByteType* out, int count) {
  auto* bytes = static_cast<Bytes*>(file->UserData);
  const size_t num_read = std::min(bytes->remaining, static_cast<size_t>(std::max(count, 0)));
  std::memcpy(out, bytes->next, num_read);
  bytes->next += num_read;
  bytes->remaining -= num_read;
  return static_cast<int>(num_read);
}

struct GifCloser {
  void operator()(GifFileType* file) const {
    int error = 0;
    DGifCloseFile(file, &error);
  }
};
using OpenGif = std::unique_ptr<GifFileType, GifCloser>;

[[noreturn]] void fail_gif(const PictureRequest& request, int error) {
  const char* reason = GifErrorString(error);
  fail_damaged(request, "GIF", reason != nullptr ? reason : "the data end early");
}

/// What precedes the pixels of the first frame.
struct FrameHeader {
  ImageSize canvas;
  std::optional<uint8_t> transparent_index;
};

/// Reads one extension; a graphic control extension may set the transparent index.
void read_extension(GifFileType* file, const PictureRequest& request, FrameHeader& header) {
  int code = 0;
  GifByteType* block = nullptr;
  if (DGifGetExtension(file, &code, &block) == GIF_ERROR) fail_gif(request, file->Error);
  if (code == kGraphicControl && block != nullptr && block[0] >= 4 && (block[1] & 1) != 0) {
    header.transparent_index = block[4];
  }
  while (block != nullptr) {
    if (DGifGetExtensionNext(file, &block) == GIF_ERROR) fail_gif(request, file->Error);
  }
}

FrameHeader read_frame_header(GifFileType* file, const PictureRequest& request) {
  FrameHeader header;
  while (true) {
    GifRecordType record = UNDEFINED_RECORD_TYPE;
    if (DGifGetRecordType(file, &record) == GIF_ERROR) fail_gif(request, file->Error);
    if (record == EXTENSION_RECORD_TYPE) {
      read_extension(file, request, header);
    } else if (record == IMAGE_DESC_RECORD_TYPE) {
      break;
    } else {
      fail_damaged(request, "GIF", "it has no frame");
    }
  }
  if (DGifGetImageDesc(file) == GIF_ERROR) fail_gif(request, file->Error);
  const GifImageDesc& frame = file->Image;
  if (frame.Width < 1 || frame.Height < 1 || frame.Left < 0 || frame.Top < 0) {
    fail_damaged(request, "GIF", "the first frame is empty");
  }
  header.canvas =
      checked_size(request, std::max<int64_t>(file->SWidth, int64_t{frame.Left} + frame.Width),
                   std::max<int64_t>(file->SHeight, int64_t{frame.Top} + frame.Height));
  return header;
}

OpenGif open(Bytes& bytes, const PictureRequest& request) {
  int error = 0;
  OpenGif file(DGifOpen(&bytes, read_bytes, &error));
  if (!file) fail_gif(request, error);
  return file;
}

/// Colours of the indices: the frame's map, else the screen's, else grey; unlisted ones are black.
std::array<Rgb, 256> colors_of(const GifFileType& file) {
  std::array<Rgb, 256> colors{};
  const ColorMapObject* map = file.Image.ColorMap != nullptr ? file.Image.ColorMap : file.SColorMap;
  bool is_grey = true;
  for (int i = 0; map != nullptr && i < std::min(map->ColorCount, 256); ++i) {
    const GifColorType& color = map->Colors[i];
    colors[static_cast<size_t>(i)] = {color.Red, color.Green, color.Blue};
    is_grey = is_grey && color.Red == i && color.Green == i && color.Blue == i;
  }
  // Pillow drops a map that only counts up, and shows every index as grey then.
  if (is_grey) {
    for (size_t i = 0; i < colors.size(); ++i) {
      const auto grey = static_cast<uint8_t>(i);
      colors[i] = {grey, grey, grey};
    }
  }
  return colors;
}

/// Order in which the rows of an interlaced frame are stored.
std::vector<int32_t> row_order(int32_t height, bool is_interlaced) {
  std::vector<int32_t> order;
  order.reserve(static_cast<size_t>(height));
  if (!is_interlaced) {
    for (int32_t y = 0; y < height; ++y) order.push_back(y);
    return order;
  }
  constexpr std::array<std::array<int32_t, 2>, 4> passes = {{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
  for (const auto& [first, step] : passes) {
    for (int32_t y = first; y < height; y += step) order.push_back(y);
  }
  return order;
}

}  // namespace

ImageSize probe_gif(const PictureRequest& request) {
  Bytes bytes{request.data(), request.size()};
  const OpenGif file = open(bytes, request);
  return read_frame_header(file.get(), request).canvas;
}

Picture decode_gif(const PictureRequest& request) {
  Bytes bytes{request.data(), request.size()};
  const OpenGif file = open(bytes, request);
  const FrameHeader header = read_frame_header(file.get(), request);
  const GifImageDesc& frame = file->Image;
  const auto num_pixels = static_cast<size_t>(header.canvas.width) * header.canvas.height;
  std::vector<uint8_t> indices(num_pixels, header.transparent_index.value_or(0));
  for (const int32_t y : row_order(frame.Height, frame.Interlace)) {
    uint8_t* row = indices.data() +
                   static_cast<size_t>(frame.Top + y) * static_cast<size_t>(header.canvas.width) +
                   static_cast<size_t>(frame.Left);
    if (DGifGetLine(file.get(), row, frame.Width) == GIF_ERROR) fail_gif(request, file->Error);
  }

  const std::array<Rgb, 256> colors = colors_of(*file);
  Picture picture;
  picture.image = RgbImage(header.canvas);
  uint8_t* out = picture.image.pixels.data();
  for (const uint8_t index : indices) {
    const Rgb color = colors[index];
    *out++ = color.red;
    *out++ = color.green;
    *out++ = color.blue;
  }
  if (request.needs_alpha && header.transparent_index) {
    picture.alpha.resize(num_pixels);
    std::transform(indices.begin(), indices.end(), picture.alpha.begin(),
                   [&](uint8_t index) { return index == *header.transparent_index ? 0 : 255; });
  }
  return picture;
}

}  // namespace llava::image
