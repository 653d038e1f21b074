// SPDX-License-Identifier: Apache-2.0
#include "llava/data/augmentation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "llava/core/random.h"

namespace llava::data {
namespace {

// Keeps these draws apart from all others of the same seed.
constexpr uint64_t kStream = uint64_t{1} << 40;
constexpr uint64_t kDrawsPerSample = 3;

int32_t shift_of(double uniform, int32_t max_shift) {
  return static_cast<int32_t>(std::floor(uniform * (2.0 * max_shift + 1.0))) - max_shift;
}

}  // namespace

PictureChange draw_change(const Augmentation& augmentation, uint64_t seed, int64_t epoch,
                          int64_t sample) {
  const uint64_t stream = kStream + static_cast<uint64_t>(epoch);
  const uint64_t first = static_cast<uint64_t>(sample) * kDrawsPerSample;
  PictureChange change;
  change.is_flipped = augmentation.flips && uniform_at(seed, stream, first) < 0.5;
  change.right = shift_of(uniform_at(seed, stream, first + 1), augmentation.max_shift);
  change.down = shift_of(uniform_at(seed, stream, first + 2), augmentation.max_shift);
  return change;
}

void apply(const PictureChange& change, image::PixelValues& pixels) {
  if (change == PictureChange{}) return;
  const int32_t height = pixels.height, width = pixels.width;
  std::vector<std::size_t> columns(static_cast<std::size_t>(width));
  for (int32_t x = 0; x < width; ++x) {
    const int32_t source = std::clamp(x - change.right, 0, width - 1);
    columns[static_cast<std::size_t>(x)] =
        static_cast<std::size_t>(change.is_flipped ? width - 1 - source : source);
  }
  const std::vector<float> before = pixels.values;
  const auto num_planes = static_cast<std::size_t>(pixels.num_tiles * pixels.channels);
  const auto row_size = static_cast<std::size_t>(width);
  auto target = pixels.values.begin();
  for (std::size_t plane = 0; plane < num_planes; ++plane) {
    for (int32_t y = 0; y < height; ++y) {
      const int32_t source_y = std::clamp(y - change.down, 0, height - 1);
      const float* row = before.data() + (plane * static_cast<std::size_t>(height) +
                                          static_cast<std::size_t>(source_y)) *
                                             row_size;
      for (const std::size_t column : columns) *target++ = row[column];
    }
  }
}

}  // namespace llava::data
