// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/curve.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace llava::train_report {
namespace {

const double kNan = std::nan("");

TEST(Curve, FewPointsStay) {
  const std::vector<Point> points{{1, 3}, {2, kNan}, {3, 5}};
  EXPECT_EQ(thin(points, 10).size(), 3u);
  EXPECT_TRUE(thin({}, 10).empty());
}

TEST(Curve, ThinningKeepsEveryBucketsExtremesAndGaps) {
  std::vector<Point> points;
  for (int i = 0; i < 10000; ++i) points.push_back({double(i), std::sin(i * 0.37) + i % 7});
  points[4321].y = 100;
  points[4322].y = -100;
  points[7777].y = kNan;
  const std::vector<Point> drawn = thin(points, 100);
  EXPECT_LE(drawn.size(), 500u);
  EXPECT_TRUE(std::ranges::is_sorted(drawn, {}, &Point::x));
  const auto has = [&](double x) { return std::ranges::find(drawn, x, &Point::x) != drawn.end(); };
  for (const double x : {0.0, 9999.0, 4321.0, 4322.0, 7777.0}) EXPECT_TRUE(has(x)) << x;
  for (std::size_t bucket = 0; bucket < 100; ++bucket) {
    const auto first = points.begin() + static_cast<std::ptrdiff_t>(bucket) * 100;
    const auto highest = std::max_element(first, first + 100, [](const Point& a, const Point& b) {
      return !b.is_gap() && (a.is_gap() || a.y < b.y);
    });
    EXPECT_TRUE(has(highest->x)) << bucket;
  }
}

TEST(Curve, RunningMeanLeavesGapsOut) {
  const std::vector<Point> points{
      {1, 2}, {2, 4}, {3, kNan}, {4, 6}, {5, std::numeric_limits<double>::infinity()}, {6, 9}};
  const std::vector<Point> mean = running_mean(points, 3);
  ASSERT_EQ(mean.size(), 6u);
  EXPECT_DOUBLE_EQ(mean[0].y, 2);
  EXPECT_DOUBLE_EQ(mean[1].y, 3);
  EXPECT_TRUE(mean[2].is_gap());
  EXPECT_DOUBLE_EQ(mean[3].y, 5);
  EXPECT_TRUE(mean[4].is_gap());
  EXPECT_DOUBLE_EQ(mean[5].y, 7.5);
}

}  // namespace
}  // namespace llava::train_report
