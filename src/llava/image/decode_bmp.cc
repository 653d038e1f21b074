// SPDX-License-Identifier: Apache-2.0
//
// BMP, read as Pillow reads it: OS/2 and Windows headers, 1, 4, 8, 16, 24 and 32 bits, bit fields
// of the usual layouts, run lengths of 8 and 4 bits. Offsets in comments are those of the file.
#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "llava/core/error.h"
#include "llava/image/bmp_header.h"
#include "llava/image/picture_format.h"

namespace llava::image {
namespace {

/// Palette indices of run-length data, in file order of the rows. Follows Pillow where the format
/// leaves room: an end of line within an empty row adds nothing, absolute runs do not wrap.
class RunLengthDecoder {
 public:
  RunLengthDecoder(const PictureRequest& request, const BmpHeader& header)
      : request_(request), is_rle4_(header.is_rle4()), at_(header.pixel_offset) {
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
class BmpRowConverter {
 public:
  BmpRowConverter(const PictureRequest& request, const BmpHeader& header) : header_(header) {
    if (header.bits <= 8) palette_ = read_bmp_palette(request, header);
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

  const BmpHeader& header_;
  std::array<Rgb, 256> palette_{};
};

}  // namespace

ImageSize probe_bmp(const PictureRequest& request) { return read_bmp_header(request).size; }

Picture decode_bmp(const PictureRequest& request) {
  const BmpHeader header = read_bmp_header(request);
  const auto height = static_cast<size_t>(header.size.height);
  const size_t row_bits = static_cast<size_t>(header.size.width) * header.bits;
  const size_t stride = (row_bits + 31) / 32 * 4;
  const bool is_run_length = header.is_run_length();
  // The padding of the last row may be missing.
  const size_t needed = stride * (height - 1) + (row_bits + 7) / 8;
  if (!is_run_length &&
      (header.pixel_offset > request.size() || needed > request.size() - header.pixel_offset)) {
    fail_damaged(
        request, "BMP",
        fmt::format("its pixels need {} bytes from offset {}", needed, header.pixel_offset));
  }
  const BmpRowConverter converter(request, header);
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
