// SPDX-License-Identifier: Apache-2.0
#include "llava/image/resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/thread_pool.h"
#include "llava/image/resample_row.h"

namespace llava::image {
namespace {

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

int32_t to_fixed(double weight) {
  const double scaled = weight * (1 << kResamplePrecision);
  return static_cast<int32_t>(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

uint8_t to_pixel(int32_t accumulator) {
  return static_cast<uint8_t>(std::clamp(accumulator >> kResamplePrecision, 0, 255));
}

Axis make_axis(int32_t canvas_extent, int32_t image_offset, int32_t image_extent, int32_t target,
               int32_t window_begin, int32_t window_extent) {
  Axis axis;
  axis.taps.reserve(static_cast<size_t>(window_extent));
  const bool is_identity = canvas_extent == target;
  const double scale = static_cast<double>(canvas_extent) / target;
  const double filter_scale = std::max(scale, 1.0);
  const double support = 2.0 * filter_scale;
  const double inverse = 1.0 / filter_scale;
  std::vector<double> weights;
  for (int32_t i = window_begin; i < window_begin + window_extent; ++i) {
    int32_t low = i;
    int32_t high = i + 1;
    weights.assign(1, 1.0);
    if (!is_identity) {
      const double center = (i + 0.5) * scale;
      low = std::max(static_cast<int32_t>(center - support + 0.5), 0);
      high = std::min(static_cast<int32_t>(center + support + 0.5), canvas_extent);
      weights.clear();
      double sum = 0;
      for (int32_t j = 0; j < high - low; ++j) {
        weights.push_back(bicubic((j + low - center + 0.5) * inverse));
        sum += weights.back();
      }
      if (sum != 0) {
        for (double& weight : weights) weight /= sum;
      }
    }
    Taps taps;
    taps.begin = std::clamp(low - image_offset, 0, image_extent);
    taps.end = std::clamp(high - image_offset, taps.begin, image_extent);
    taps.weights = axis.weights.size();
    for (int32_t position = low; position < high; ++position) {
      const int32_t weight = to_fixed(weights[static_cast<size_t>(position - low)]);
      const int32_t in_image = position - image_offset;
      if (in_image >= taps.begin && in_image < taps.end) {
        axis.weights.push_back(weight);
      } else {
        taps.border += weight;
      }
    }
    axis.taps.push_back(taps);
  }
  return axis;
}

ImageSize window_size(const Axis& horizontal, const Axis& vertical) {
  return {static_cast<int32_t>(horizontal.taps.size()), static_cast<int32_t>(vertical.taps.size())};
}

/// The fill colour after a pass over nothing but border.
Rgb resampled_fill(const Axis& axis, const Taps& taps, Rgb fill) {
  const int32_t* weights = axis.weights.data() + taps.weights;
  int32_t sum = taps.border;
  for (int32_t k = 0; k < taps.end - taps.begin; ++k) sum += weights[k];
  return {to_pixel(kResampleHalf + sum * fill.red), to_pixel(kResampleHalf + sum * fill.green),
          to_pixel(kResampleHalf + sum * fill.blue)};
}

/// A row that is all border, after the horizontal pass.
std::vector<uint8_t> border_row(const Axis& axis, Rgb fill) {
  std::vector<uint8_t> row;
  row.reserve(axis.taps.size() * 3);
  for (const Taps& taps : axis.taps) {
    const Rgb color = resampled_fill(axis, taps, fill);
    row.insert(row.end(), {color.red, color.green, color.blue});
  }
  return row;
}

/// The vertical pass as a stream: each source row is added to the result rows whose taps it is in,
/// so that only those rows are in memory however large the reduction. `sink` gets each result row,
/// in order.
class VerticalPass {
 public:
  using Sink = std::function<void(int32_t y, const uint8_t* row)>;

  VerticalPass(const Axis& axis, std::vector<uint8_t> border, Sink sink)
      : axis_(axis),
        border_(std::move(border)),
        sink_(std::move(sink)),
        row_pixels_(border_.size()) {}

  /// Adds source row `y`; rows come in increasing order.
  void add(int32_t y, const uint8_t* row) {
    row_ = y + 1;
    for (; started_ < axis_.taps.size() && axis_.taps[started_].begin <= y; ++started_) start();
    for (size_t i = finished_; i < started_; ++i) {
      const Taps& taps = axis_.taps[i];
      if (y < taps.begin || y >= taps.end) continue;
      const int32_t weight = axis_.weights[taps.weights + static_cast<size_t>(y - taps.begin)];
      std::vector<int32_t>& sums = active_[i - finished_];
      for (size_t x = 0; x < border_.size(); ++x) sums[x] += row[x] * weight;
    }
    while (finished_ < started_ && axis_.taps[finished_].end <= row_) finish();
  }

  /// Completes the rows that wait for no source row any more.
  void finish_all() {
    for (; started_ < axis_.taps.size();) {
      start();
      ++started_;
    }
    while (finished_ < started_) finish();
  }

 private:
  void start() {
    std::vector<int32_t> sums = std::move(spare_);
    sums.resize(border_.size());
    const int32_t weight = axis_.taps[started_].border;
    for (size_t x = 0; x < border_.size(); ++x) sums[x] = kResampleHalf + border_[x] * weight;
    active_.push_back(std::move(sums));
  }

  void finish() {
    std::vector<int32_t>& sums = active_.front();
    for (size_t x = 0; x < sums.size(); ++x) row_pixels_[x] = to_pixel(sums[x]);
    sink_(static_cast<int32_t>(finished_), row_pixels_.data());
    spare_ = std::move(sums);
    active_.erase(active_.begin());
    ++finished_;
  }

  const Axis& axis_;
  std::vector<uint8_t> border_;
  Sink sink_;
  std::vector<uint8_t> row_pixels_;
  std::vector<std::vector<int32_t>> active_;  ///< sums of result rows [finished_, started_)
  std::vector<int32_t> spare_;
  size_t started_ = 0;
  size_t finished_ = 0;
  int32_t row_ = 0;
};

/// Pillow's order of the passes since 13.0: vertical first where that saves most of the work. The
/// 8-bit result between the passes makes the order visible.
bool shrinks_mostly_in_height(ImageSize from, ImageSize to) {
  return to.height < from.height && to.width != from.width &&
         int64_t{from.height} - to.height > 2 * (int64_t{from.width} - to.width);
}

/// Source rows that any position of the axis needs, in order.
std::vector<int32_t> needed_rows(const Axis& axis) {
  std::vector<int32_t> rows;
  int32_t next = 0;
  for (const Taps& taps : axis.taps) {
    for (next = std::max(next, taps.begin); next < taps.end; ++next) rows.push_back(next);
  }
  return rows;
}

/// Result rows [begin, end), each source row taken once.
void resize_band(const Canvas& canvas, const Axis& horizontal, const Axis& vertical, int32_t begin,
                 int32_t end, RgbImage& result) {
  const RgbImage& image = canvas.image;
  const Axis band{.taps = {vertical.taps.begin() + begin, vertical.taps.begin() + end},
                  .weights = vertical.weights};
  VerticalPass pass(band, border_row(horizontal, canvas.fill), [&](int32_t y, const uint8_t* row) {
    std::memcpy(result.row(begin + y), row, result.row_bytes());
  });
  constexpr std::size_t kRows = RowResampler::kRows;
  RowResampler resampler(horizontal, image.size.width);
  std::vector<uint8_t> buffer(result.row_bytes() * kRows);
  std::array<const uint8_t*, kRows> sources;
  std::array<uint8_t*, kRows> targets;
  for (std::size_t r = 0; r < kRows; ++r) targets[r] = buffer.data() + r * result.row_bytes();
  const std::vector<int32_t> rows = needed_rows(band);
  for (std::size_t i = 0; i < rows.size(); i += kRows) {
    const std::size_t count = std::min(kRows, rows.size() - i);
    for (std::size_t r = 0; r < count; ++r) sources[r] = image.row(rows[i + r]);
    resampler.resample({sources.data(), count}, canvas.fill, {targets.data(), count});
    for (std::size_t r = 0; r < count; ++r) pass.add(rows[i + r], targets[r]);
  }
  pass.finish_all();
}

RgbImage resize_horizontally_first(const Canvas& canvas, const Axis& horizontal,
                                   const Axis& vertical, int num_threads) {
  RgbImage result(window_size(horizontal, vertical));
  constexpr int64_t kMinPixels = 1'000'000;  // below, a thread costs more than it saves
  const int64_t num_pixels = int64_t{canvas.image.size.width} * canvas.image.size.height;
  if (num_threads < 2 || num_pixels < kMinPixels) {
    resize_band(canvas, horizontal, vertical, 0, result.size.height, result);
    return result;
  }
  ThreadPool pool(num_threads);
  // The source rows of two neighbouring bands that overlap are summed by both.
  pool.run_ranges(result.size.height, 8, [&](int64_t begin, int64_t end) {
    resize_band(canvas, horizontal, vertical, static_cast<int32_t>(begin),
                static_cast<int32_t>(end), result);
  });
  return result;
}

RgbImage resize_vertically_first(const Canvas& canvas, const Axis& horizontal,
                                 const Axis& vertical) {
  const RgbImage& image = canvas.image;
  RgbImage result(window_size(horizontal, vertical));
  std::vector<uint8_t> border;
  border.reserve(image.row_bytes());
  for (int32_t x = 0; x < image.size.width; ++x) {
    border.insert(border.end(), {canvas.fill.red, canvas.fill.green, canvas.fill.blue});
  }
  RowResampler resampler(horizontal, image.size.width);
  VerticalPass pass(vertical, std::move(border), [&](int32_t y, const uint8_t* row) {
    const Rgb fill = resampled_fill(vertical, vertical.taps[static_cast<size_t>(y)], canvas.fill);
    uint8_t* const out = result.row(y);
    resampler.resample({&row, 1}, fill, {&out, 1});
  });
  for (const int32_t y : needed_rows(vertical)) pass.add(y, image.row(y));
  pass.finish_all();
  return result;
}

void check_sizes(const Canvas& canvas, ImageSize target, const Window& window) {
  const auto is_empty = [](ImageSize size) { return size.width < 1 || size.height < 1; };
  if (is_empty(canvas.image.size) || is_empty(target) || is_empty(window.size)) {
    fail(ErrorCode::kInvalidArgument,
         "cannot resize a picture of {}x{} to {}x{} pixels (window {}x{}): every side must be at "
         "least 1",
         canvas.image.size.width, canvas.image.size.height, target.width, target.height,
         window.size.width, window.size.height);
  }
  const auto lies_inside = [](int64_t begin, int64_t extent, int64_t limit) {
    return begin >= 0 && begin + extent <= limit;
  };
  if (!lies_inside(window.x, window.size.width, target.width) ||
      !lies_inside(window.y, window.size.height, target.height) ||
      !lies_inside(canvas.offset.width, canvas.image.size.width, canvas.size.width) ||
      !lies_inside(canvas.offset.height, canvas.image.size.height, canvas.size.height)) {
    fail(ErrorCode::kInvalidArgument,
         "window {}x{} at ({}, {}) must lie inside the {}x{} result, and the picture inside its "
         "canvas",
         window.size.width, window.size.height, window.x, window.y, target.width, target.height);
  }
}

}  // namespace

RgbImage resize(const RgbImage& image, ImageSize target, int num_threads) {
  if (image.size == target) return image;
  return resize_window({image, image.size, {0, 0}, {}}, target, {0, 0, target}, num_threads);
}

RgbImage resize_window(const Canvas& canvas, ImageSize target, const Window& window,
                       int num_threads) {
  check_sizes(canvas, target, window);
  const RgbImage& image = canvas.image;
  const Axis horizontal = make_axis(canvas.size.width, canvas.offset.width, image.size.width,
                                    target.width, window.x, window.size.width);
  const Axis vertical = make_axis(canvas.size.height, canvas.offset.height, image.size.height,
                                  target.height, window.y, window.size.height);
  return shrinks_mostly_in_height(canvas.size, target)
             ? resize_vertically_first(canvas, horizontal, vertical)
             : resize_horizontally_first(canvas, horizontal, vertical, num_threads);
}

}  // namespace llava::image
