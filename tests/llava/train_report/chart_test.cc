// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "llava/train_report/axis.h"

namespace llava::train_report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Axis, TicksAreRoundAndInside) {
  EXPECT_THAT(make_axis(0, 10, 0, 1).ticks(5), ElementsAre(0, 2, 4, 6, 8, 10));
  EXPECT_THAT(make_axis(-3, 3, 0, 1).ticks(3), ElementsAre(-2, 0, 2));
  // Values so large that a step does not change them end as well.
  EXPECT_LE(make_axis(1e18, 1e18 + 300, 0, 1).ticks(5).size(), 20u);
}

TEST(Axis, EqualValuesHaveRoom) {
  for (const double value : {0.0, 5.0, -1e-9, 1e30}) {
    const Axis axis = make_axis(value, value, 0, 100);
    EXPECT_TRUE(std::isfinite(axis.place(value))) << value;
    EXPECT_FALSE(axis.ticks(5).empty()) << value;
  }
}

TEST(Chart, DrawsAxesWithLabelsAndADescription) {
  const std::string chart = line_chart({.title = "Loss", .x_label = "step", .y_label = "nats"},
                                       {{"raw & <b>", "first", {{1, 2}, {2, 4}, {3, 3}}, true}});
  for (const char* part : {"role=\"img\"", "<path class=\"line first\"", ">step<", ">nats<",
                           "raw &amp; &lt;b&gt; from 2 to 3, lowest 2, highest 4", "<circle"}) {
    EXPECT_THAT(chart, HasSubstr(part));
  }
  EXPECT_THAT(chart, Not(HasSubstr("nan")));
}

TEST(Chart, GapsBreakTheLine) {
  const std::string chart = line_chart(
      {.title = "t"}, {{"c", "first", {{1, 2}, {2, std::nan("")}, {3, 3}, {4, 1e300}, {5, 1}}}});
  const std::size_t path = chart.find(" d=\"M", chart.find("role=\"img\""));
  ASSERT_NE(path, std::string::npos);
  const std::string data = chart.substr(path, chart.find("\"/>", path) - path);
  EXPECT_EQ(std::count(data.begin(), data.end(), 'M'), 3);
  EXPECT_THAT(line_chart({.title = "t"}, {{"c", "first", {{1, std::nan("")}}}}), IsEmpty());
}

TEST(Chart, SaysWhatIsThinned) {
  Curve curve{.name = "c", .css_class = "first"};
  for (int i = 0; i < 50000; ++i) curve.points.push_back({double(i), double(i % 97)});
  const std::string chart = line_chart({.title = "t"}, {curve});
  EXPECT_THAT(chart, HasSubstr(" of 50,000 points, extremes kept)"));
  EXPECT_LT(chart.size(), 60000u);
}

TEST(Chart, BarsHaveTheirCounts) {
  const std::vector<double> counts{0, 5, 2};
  const std::string chart =
      bar_chart({.title = "t", .x_label = "tokens", .y_label = "samples"}, counts, 50, 120);
  EXPECT_THAT(chart, HasSubstr("<title>50 to 99: 5</title>"));
  EXPECT_THAT(chart, HasSubstr("limit 120"));
  EXPECT_THAT(bar_chart({.title = "t"}, {}, 50, 0), IsEmpty());
  EXPECT_THAT(bar_chart({.title = "t"}, counts, 0, 0), IsEmpty());
}

}  // namespace
}  // namespace llava::train_report
