// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/curve.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace llava::train_report {
namespace {

constexpr double kLargest = 1e30;

void thin_bucket(std::span<const Point> points, std::size_t begin, std::size_t end,
                 std::vector<Point>& out) {
  std::set<std::size_t> kept{begin, end - 1};
  std::size_t lowest = end;
  std::size_t highest = end;
  std::size_t gap = end;
  for (std::size_t i = begin; i < end; ++i) {
    if (points[i].is_gap()) {
      gap = i;
      continue;
    }
    if (lowest == end || points[i].y < points[lowest].y) lowest = i;
    if (highest == end || points[i].y > points[highest].y) highest = i;
  }
  for (const std::size_t found : {lowest, highest, gap}) {
    if (found != end) kept.insert(found);
  }
  for (const std::size_t i : kept) out.push_back(points[i]);
}

}  // namespace

bool Point::is_gap() const { return !(std::abs(y) <= kLargest); }

std::vector<Point> thin(std::span<const Point> points, std::size_t num_buckets) {
  if (points.size() < 4 * num_buckets) return {points.begin(), points.end()};
  std::vector<Point> out;
  for (std::size_t i = 0; i < num_buckets; ++i) {
    const std::size_t begin = i * points.size() / num_buckets;
    const std::size_t end = (i + 1) * points.size() / num_buckets;
    if (begin < end) thin_bucket(points, begin, end, out);
  }
  return out;
}

std::vector<Point> running_mean(std::span<const Point> points, std::size_t window) {
  std::vector<Point> out;
  out.reserve(points.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    Point mean = points[i];
    if (!mean.is_gap()) {
      double sum = 0;
      std::size_t count = 0;
      for (std::size_t j = i + 1 - std::min(window, i + 1); j <= i; ++j) {
        if (points[j].is_gap()) continue;
        sum += points[j].y;
        ++count;
      }
      mean.y = sum / static_cast<double>(count);
    }
    out.push_back(mean);
  }
  return out;
}

}  // namespace llava::train_report
