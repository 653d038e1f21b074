// SPDX-License-Identifier: Apache-2.0
#include "llava/image/orientation.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

namespace llava::image {
namespace {

constexpr uint16_t kOrientationTag = 0x0112;
constexpr uint16_t kTypeShort = 3;
constexpr uint16_t kTypeLong = 4;

/// Numbers of an Exif block in its byte order; reads past the end give nothing.
struct ExifNumbers {
  std::span<const uint8_t> block;
  bool is_big_endian = false;

  uint32_t get(size_t at, size_t num_bytes) const {
    uint32_t value = 0;
    for (size_t i = 0; i < num_bytes; ++i) {
      value = value << 8 | block[at + (is_big_endian ? i : num_bytes - 1 - i)];
    }
    return value;
  }
};

bool is_transposing(int orientation) { return orientation >= 5 && orientation <= 8; }

/// Copies pixels of `kBytes` bytes to where they belong upright.
template <size_t kBytes>
void orient_pixels(const uint8_t* from, ImageSize size, int orientation, uint8_t* to) {
  const auto width = static_cast<ptrdiff_t>(size.width);
  const auto height = static_cast<ptrdiff_t>(size.height);
  // Index of the upright picture's first pixel, and its steps to the right and down.
  const bool from_right =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const ptrdiff_t start = (from_right ? width - 1 : 0) + (from_bottom ? (height - 1) * width : 0);
  const ptrdiff_t step_x = from_right ? -1 : 1;
  const ptrdiff_t step_y = from_bottom ? -width : width;
  const bool transposes = is_transposing(orientation);
  const ptrdiff_t right = transposes ? step_y : step_x;
  const ptrdiff_t down = transposes ? step_x : step_y;
  const ptrdiff_t rows = transposes ? width : height;
  const ptrdiff_t columns = transposes ? height : width;
  for (ptrdiff_t y = 0; y < rows; ++y) {
    ptrdiff_t index = start + y * down;
    for (ptrdiff_t x = 0; x < columns; ++x, index += right, to += kBytes) {
      std::memcpy(to, from + index * static_cast<ptrdiff_t>(kBytes), kBytes);
    }
  }
}

}  // namespace

int exif_orientation(std::span<const uint8_t> block) noexcept {
  constexpr uint8_t prefix[] = {'E', 'x', 'i', 'f', 0, 0};
  if (block.size() >= sizeof prefix && std::equal(prefix, prefix + sizeof prefix, block.begin())) {
    block = block.subspan(sizeof prefix);
  }
  if (block.size() < 8) return 1;
  ExifNumbers numbers{block};
  if (block[0] == 'M' && block[1] == 'M') {
    numbers.is_big_endian = true;
  } else if (block[0] != 'I' || block[1] != 'I') {
    return 1;
  }
  const size_t directory = numbers.get(4, 4);
  if (directory > block.size() - 2) return 1;
  const size_t num_entries = numbers.get(directory, 2);
  for (size_t i = 0; i < num_entries; ++i) {
    const size_t entry = directory + 2 + i * 12;
    if (entry + 12 > block.size()) return 1;
    if (numbers.get(entry, 2) != kOrientationTag) continue;
    const uint32_t type = numbers.get(entry + 2, 2);
    uint32_t value = 1;
    if (type == kTypeShort) value = numbers.get(entry + 8, 2);
    if (type == kTypeLong) value = numbers.get(entry + 8, 4);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

ImageSize oriented_size(ImageSize size, int orientation) noexcept {
  return is_transposing(orientation) ? ImageSize{size.height, size.width} : size;
}

RgbImage orient(RgbImage image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  RgbImage upright(oriented_size(image.size, orientation));
  orient_pixels<3>(image.pixels.data(), image.size, orientation, upright.pixels.data());
  return upright;
}

std::vector<uint8_t> orient_plane(std::vector<uint8_t> plane, ImageSize size, int orientation) {
  if (orientation < 2 || orientation > 8) return plane;
  std::vector<uint8_t> upright(plane.size());
  orient_pixels<1>(plane.data(), size, orientation, upright.data());
  return upright;
}

}  // namespace llava::image
