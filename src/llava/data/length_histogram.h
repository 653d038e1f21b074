// SPDX-License-Identifier: Apache-2.0
//
// How long the samples of a data set are, in numbers and as a picture.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llava::data {

/// The lengths of a data set in a few numbers.
struct LengthSummary {
  int64_t min = 0;
  int64_t median = 0;
  int64_t p95 = 0;  ///< 95 of 100 samples are no longer
  int64_t max = 0;
  double mean = 0;
};

/// All zero for no lengths.   Threads: safe.
LengthSummary summarize_lengths(std::span<const int32_t> lengths);

/// A histogram in numbers: bar i counts lengths in [i * width, (i + 1) * width).
struct LengthBars {
  int64_t width = 1;  ///< 1, 2 or 5 times a power of ten, so that there are about 50 bars
  std::vector<int64_t> counts;
  int64_t most = 1;  ///< of one bar, at least 1

  int64_t end() const { return width * static_cast<int64_t>(counts.size()); }
};

/// Counts lengths; the bars reach to `limit` at least.   Threads: safe.
LengthBars count_lengths(std::span<const int32_t> lengths, int64_t limit);

/// What a histogram shows besides its bars.
struct HistogramText {
  std::string title;
  std::string unit;   ///< "tokens"
  int64_t limit = 0;  ///< a line at this length; 0 for none
};

/// A histogram as an SVG document of 800 x 400 points that needs nothing else and names its bars
/// for screen readers.   Threads: safe.
std::string length_histogram_svg(std::span<const int32_t> lengths, const HistogramText& text);

}  // namespace llava::data
