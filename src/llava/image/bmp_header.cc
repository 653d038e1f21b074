// SPDX-License-Identifier: Apache-2.0
#include "llava/image/bmp_header.h"

#include <algorithm>

#include "llava/core/error.h"

namespace llava::image {
namespace {

constexpr uint32_t kRle8 = 1;
constexpr uint32_t kRle4 = 2;
constexpr uint32_t kBitFields = 3;

/// Little-endian numbers of the file.
class Reader {
 public:
  explicit Reader(const PictureRequest& request) : request_(request) {}

  uint32_t get(size_t at, size_t num_bytes) const {
    if (num_bytes > request_.size() || at > request_.size() - num_bytes) {
      fail_damaged(request_, "BMP", fmt::format("its header ends at offset {}", request_.size()));
    }
    uint32_t value = 0;
    for (size_t i = num_bytes; i-- > 0;) value = value << 8 | request_.data()[at + i];
    return value;
  }

 private:
  const PictureRequest& request_;
};

using Masks = std::array<uint32_t, 4>;

void apply_bit_fields(const PictureRequest& request, const Masks& masks, BmpHeader& header) {
  constexpr uint32_t byte0 = 0xFF, byte1 = 0xFF00, byte2 = 0xFF0000, byte3 = 0xFF000000;
  struct Known {
    Masks masks;
    BmpByteLayout layout;
  };
  constexpr std::array<Known, 8> known = {{{{byte2, byte1, byte0, 0}, {2, 1, 0, -1}},
                                           {{byte3, byte2, byte1, 0}, {3, 2, 1, -1}},
                                           {{byte3, byte1, byte0, 0}, {3, 1, 0, -1}},
                                           {{byte3, byte2, byte1, byte0}, {3, 2, 1, 0}},
                                           {{byte0, byte1, byte2, byte3}, {0, 1, 2, 3}},
                                           {{byte2, byte1, byte0, byte3}, {2, 1, 0, 3}},
                                           {{byte3, byte1, byte0, byte2}, {3, 1, 0, 2}},
                                           {{0, 0, 0, 0}, {2, 1, 0, 3}}}};
  const Masks colors = {masks[0], masks[1], masks[2], 0};
  if (header.bits == 32) {
    const auto match = std::find_if(known.begin(), known.end(),
                                    [&](const Known& entry) { return entry.masks == masks; });
    if (match != known.end()) {
      header.layout = match->layout;
      return;
    }
  } else if (header.bits == 24 && colors == Masks{byte2, byte1, byte0, 0}) {
    return;
  } else if (header.bits == 16 && colors == Masks{0xF800, 0x7E0, 0x1F, 0}) {
    header.is_565 = true;
    return;
  } else if (header.bits == 16 && colors == Masks{0x7C00, 0x3E0, 0x1F, 0}) {
    return;
  }
  fail_unsupported(request, "BMP",
                   fmt::format("bit fields {:x}, {:x}, {:x}, {:x} of {} bits", masks[0], masks[1],
                               masks[2], masks[3], header.bits));
}

}  // namespace

BmpHeader read_bmp_header(const PictureRequest& request) {
  const Reader reader(request);
  BmpHeader header;
  header.pixel_offset = reader.get(10, 4);
  const uint32_t header_bytes = reader.get(14, 4);
  size_t after_header = size_t{14} + header_bytes;
  int64_t width = 0;
  int64_t height = 0;
  if (header_bytes == 12) {
    width = reader.get(18, 2);
    height = reader.get(20, 2);
    header.bits = reader.get(24, 2);
    header.palette_entry_bytes = 3;
  } else if (header_bytes == 40 || header_bytes == 52 || header_bytes == 56 || header_bytes == 64 ||
             header_bytes == 108 || header_bytes == 124) {
    width = reader.get(18, 4);
    height = reader.get(22, 4);
    header.is_top_down = reader.get(25, 1) == 0xFF;
    if (header.is_top_down) height = (int64_t{1} << 32) - height;
    header.bits = reader.get(28, 2);
    header.compression = reader.get(30, 4);
    header.num_colors = reader.get(46, 4);
  } else {
    fail_unsupported(request, "BMP", fmt::format("a header of {} bytes", header_bytes));
  }
  header.size = checked_size(request, width, height);
  if (header.bits != 1 && header.bits != 4 && header.bits != 8 && header.bits != 16 &&
      header.bits != 24 && header.bits != 32) {
    fail_unsupported(request, "BMP", fmt::format("{} bits per pixel", header.bits));
  }
  if (header.compression > kBitFields ||
      ((header.compression == kRle8 || header.compression == kRle4) && header.bits > 8)) {
    fail_unsupported(request, "BMP",
                     fmt::format("compression {} of {} bits", header.compression, header.bits));
  }
  if (header.compression == kBitFields) {
    Masks masks{};
    const size_t num_masks = header_bytes >= 56 ? 4 : 3;
    for (size_t i = 0; i < num_masks; ++i) masks[i] = reader.get(54 + 4 * i, 4);
    if (header_bytes == 40) after_header += 12;
    apply_bit_fields(request, masks, header);
  }
  if (header.num_colors == 0 && header.bits <= 8) header.num_colors = 1u << header.bits;
  header.palette_offset = after_header;
  if (header.bits <= 8) {
    if (header.num_colors > 65536) {
      fail_damaged(request, "BMP", fmt::format("a palette of {} colours", header.num_colors));
    }
    const size_t palette_bytes = header.palette_entry_bytes * header.num_colors;
    if (header.pixel_offset == size_t{14} + header_bytes) header.pixel_offset += palette_bytes;
    if (header.pixel_offset == 0) header.pixel_offset = after_header + palette_bytes;
  } else if (header.pixel_offset == 0) {
    header.pixel_offset = after_header;
  }
  return header;
}

std::array<Rgb, 256> read_bmp_palette(const PictureRequest& request, const BmpHeader& header) {
  std::array<Rgb, 256> palette{};
  const Reader reader(request);
  for (size_t i = 0; i < std::min<size_t>(header.num_colors, palette.size()); ++i) {
    const uint32_t color = reader.get(header.palette_offset + i * header.palette_entry_bytes, 3);
    palette[i] = {static_cast<uint8_t>(color >> 16), static_cast<uint8_t>(color >> 8),
                  static_cast<uint8_t>(color)};
  }
  return palette;
}

}  // namespace llava::image
