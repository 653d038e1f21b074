// SPDX-License-Identifier: Apache-2.0
//
// BMP, read as Pillow reads it: OS/2 and Windows headers, 1, 4, 8, 16, 24 and 32 bits, bit fields
// of the usual layouts, run lengths of 8 and 4 bits. Offsets in comments are those of the file.
#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "llava/core/error.h"
#include "llava/image/picture_format.h"

namespace llava::image {
namespace {

constexpr uint32_t kRaw = 0;
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

/// Where the channels of a 32-bit pixel lie, as byte positions; alpha -1 when there is none.
struct ByteLayout {
  int red, green, blue, alpha;
};

struct Header {
  ImageSize size;
  bool is_top_down = false;
  uint32_t bits = 0;
  uint32_t compression = kRaw;
  bool is_565 = false;             ///< 16 bits: 5-6-5 instead of 5-5-5
  ByteLayout layout{2, 1, 0, -1};  ///< 32 bits
  size_t palette_offset = 0;
  size_t palette_entry_bytes = 4;
  uint32_t num_colors = 0;
  size_t pixel_offset = 0;
};

using Masks = std::array<uint32_t, 4>;

void apply_bit_fields(const PictureRequest& request, const Masks& masks, Header& header) {
  constexpr uint32_t byte0 = 0xFF, byte1 = 0xFF00, byte2 = 0xFF0000, byte3 = 0xFF000000;
  struct Known {
    Masks masks;
    ByteLayout layout;
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

Header parse_header(const PictureRequest& request) {
  const Reader reader(request);
  Header header;
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

std::array<Rgb, 256> read_palette(const PictureRequest& request, const Header& header) {
  std::array<Rgb, 256> palette{};
  const Reader reader(request);
  for (size_t i = 0; i < std::min<size_t>(header.num_colors, palette.size()); ++i) {
    const uint32_t color = reader.get(header.palette_offset + i * header.palette_entry_bytes, 3);
    palette[i] = {static_cast<uint8_t>(color >> 16), static_cast<uint8_t>(color >> 8),
                  static_cast<uint8_t>(color)};
  }
  return palette;
}

/// Palette indices of run-length data, in file order of the rows. Follows Pillow where the format
/// leaves room: an end of line within an empty row adds nothing, absolute runs do not wrap.
class RunLengthDecoder {
 public:
  RunLengthDecoder(const PictureRequest& request, const Header& header)
      : request_(request), is_rle4_(header.compression == kRle4), at_(header.pixel_offset) {
    width_ = static_cast<size_t>(header.size.width);
    num_pixels_ = width_ * static_cast<size_t>(header.size.height);
  }

  std::vector<uint8_t> decode() {
    indices_.reserve(std::min(num_pixels_, request_.size() * 256));
    bool is_done = false;
    while (!is_done && indices_.size() < num_pixels_ && at_ + 2 <= request_.size()) {
      const uint8_t count = request_.data()[at_];
      const uint8_t value = request_.data()[at_ + 1];
      at_ += 2;
      if (count > 0) {
        repeat(count, value);
      } else {
        is_done = !escape(value);
      }
    }
    if (indices_.size() < num_pixels_) {
      fail_damaged(
          request_, "BMP",
          fmt::format("its run-length data end at pixel {} of {}", indices_.size(), num_pixels_));
    }
    indices_.resize(num_pixels_);
    return std::move(indices_);
  }

 private:
  void repeat(size_t count, uint8_t value) {
    if (column_ + count > width_) count = width_ > column_ ? width_ - column_ : 0;
    for (size_t i = 0; i < count; ++i) {
      indices_.push_back(!is_rle4_    ? value
                         : i % 2 == 0 ? static_cast<uint8_t>(value >> 4)
                                      : static_cast<uint8_t>(value & 15));
    }
    column_ += count;
  }

  /// Handles the code after a zero; false ends the picture.
  bool escape(uint8_t code) {
    if (code == 0) {
      indices_.resize((indices_.size() + width_ - 1) / width_ * width_);
      column_ = 0;
      return true;
    }
    if (code == 1) return false;
    if (code == 2) {
      if (at_ + 2 > request_.size()) return false;
      const size_t skipped = request_.data()[at_] + request_.data()[at_ + 1] * width_;
      at_ += 2;
      indices_.resize(std::min(num_pixels_, indices_.size() + skipped));
      column_ = indices_.size() % width_;
      return true;
    }
    return copy(code);
  }

  /// Pixels stored one by one; their bytes are padded to an even offset of the file.
  bool copy(size_t code) {
    const size_t count = std::min(num_pixels_ - indices_.size(), code);
    const size_t num_bytes = is_rle4_ ? (count + 1) / 2 : count;
    if (num_bytes > request_.size() - at_) return false;
    for (size_t i = 0; i < count; ++i) {
      const uint8_t byte = request_.data()[at_ + (is_rle4_ ? i / 2 : i)];
      indices_.push_back(!is_rle4_    ? byte
                         : i % 2 == 0 ? static_cast<uint8_t>(byte >> 4)
                                      : static_cast<uint8_t>(byte & 15));
    }
    at_ += num_bytes;
    if (indices_.size() == num_pixels_) return false;
    column_ += code;
    at_ += at_ % 2;
    return true;
  }

  const PictureRequest& request_;
  const bool is_rle4_;
  size_t at_;
  size_t width_ = 0;
  size_t num_pixels_ = 0;
  size_t column_ = 0;
  std::vector<uint8_t> indices_;
};

uint8_t widen(uint32_t value, uint32_t maximum) {
  return static_cast<uint8_t>(value * 255 / maximum);
}

/// Turns rows of stored pixels into RGB.
class RowConverter {
 public:
  RowConverter(const PictureRequest& request, const Header& header) : header_(header) {
    if (header.bits <= 8) palette_ = read_palette(request, header);
  }

  void convert(const uint8_t* row, uint8_t* out, uint8_t* alpha) const {
    for (int32_t x = 0; x < header_.size.width; ++x, out += 3) {
      const Rgb color = pixel(row, static_cast<size_t>(x));
      out[0] = color.red;
      out[1] = color.green;
      out[2] = color.blue;
      if (alpha != nullptr) alpha[x] = row[static_cast<size_t>(x) * 4 + header_.layout.alpha];
    }
  }

  Rgb color(uint8_t index) const { return palette_[index]; }

 private:
  Rgb pixel(const uint8_t* row, size_t x) const {
    switch (header_.bits) {
      case 1:
        return palette_[row[x / 8] >> (7 - x % 8) & 1];
      case 4:
        return palette_[x % 2 == 0 ? row[x / 2] >> 4 : row[x / 2] & 15];
      case 8:
        return palette_[row[x]];
      case 16: {
        const uint32_t value = row[2 * x] | uint32_t{row[2 * x + 1]} << 8;
        if (header_.is_565) {
          return {widen(value >> 11 & 31, 31), widen(value >> 5 & 63, 63), widen(value & 31, 31)};
        }
        return {widen(value >> 10 & 31, 31), widen(value >> 5 & 31, 31), widen(value & 31, 31)};
      }
      case 24:
        return {row[3 * x + 2], row[3 * x + 1], row[3 * x]};
      default: {
        const uint8_t* stored = row + 4 * x;
        return {stored[header_.layout.red], stored[header_.layout.green],
                stored[header_.layout.blue]};
      }
    }
  }

  const Header& header_;
  std::array<Rgb, 256> palette_{};
};

}  // namespace

ImageSize probe_bmp(const PictureRequest& request) { return parse_header(request).size; }

Picture decode_bmp(const PictureRequest& request) {
  const Header header = parse_header(request);
  const auto height = static_cast<size_t>(header.size.height);
  const size_t row_bits = static_cast<size_t>(header.size.width) * header.bits;
  const size_t stride = (row_bits + 31) / 32 * 4;
  const bool is_run_length = header.compression == kRle8 || header.compression == kRle4;
  // The padding of the last row may be missing.
  const size_t needed = stride * (height - 1) + (row_bits + 7) / 8;
  if (!is_run_length &&
      (header.pixel_offset > request.size() || needed > request.size() - header.pixel_offset)) {
    fail_damaged(
        request, "BMP",
        fmt::format("its pixels need {} bytes from offset {}", needed, header.pixel_offset));
  }
  const RowConverter converter(request, header);
  std::vector<uint8_t> indices;
  if (is_run_length) indices = RunLengthDecoder(request, header).decode();

  Picture picture;
  picture.image = RgbImage(header.size);
  if (request.needs_alpha && header.bits == 32 && header.layout.alpha >= 0) {
    picture.alpha.resize(picture.image.pixels.size() / 3);
  }
  for (size_t stored_row = 0; stored_row < height; ++stored_row) {
    const size_t y = header.is_top_down ? stored_row : height - 1 - stored_row;
    uint8_t* out = picture.image.row(static_cast<int32_t>(y));
    if (is_run_length) {
      for (int32_t x = 0; x < header.size.width; ++x, out += 3) {
        const size_t at =
            stored_row * static_cast<size_t>(header.size.width) + static_cast<size_t>(x);
        const Rgb color = converter.color(indices[at]);
        out[0] = color.red;
        out[1] = color.green;
        out[2] = color.blue;
      }
    } else {
      uint8_t* alpha = picture.alpha.empty()
                           ? nullptr
                           : picture.alpha.data() + y * static_cast<size_t>(header.size.width);
      converter.convert(request.data() + header.pixel_offset + stored_row * stride, out, alpha);
    }
  }
  return picture;
}

}  // namespace llava::image
