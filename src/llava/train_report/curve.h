// SPDX-License-Identifier: Apache-2.0
//
// Curves of many thousand points, made small enough to draw without hiding anything that one could
// see.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace llava::train_report {

/// A point; a `y` that is NaN or beyond +-1e30 is a gap.
struct Point {
  double x = 0;
  double y = 0;

  bool is_gap() const;
};

/// Of each of `num_buckets` runs of neighbours the first, the last, the lowest and the highest
/// point, and one gap if there is any, in their order: a line through them covers the same pixels
/// as one through all where a bucket is no wider than a pixel. Fewer than 4 * num_buckets points
/// stay as they are.   Threads: safe.
std::vector<Point> thin(std::span<const Point> points, std::size_t num_buckets);

/// The mean of each point and the `window - 1` before it, or of as many as there are; gaps do not
/// count, and stay gaps.   Threads: safe.
std::vector<Point> running_mean(std::span<const Point> points, std::size_t window);

}  // namespace llava::train_report
