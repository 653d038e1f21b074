// SPDX-License-Identifier: Apache-2.0
//
// Charts as SVG inside a page: no script, colours from the page's style sheet, numbers of the axes
// as text, and a description for those who do not see them.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "llava/train_report/curve.h"

namespace llava::train_report {

/// One line of a chart.
struct Curve {
  std::string name;
  std::string css_class;      ///< a class of page_style.h
  std::vector<Point> points;  ///< by rising x
  bool has_marks = false;     ///< a dot at each point
};

/// What a chart says.
struct ChartText {
  std::string title;
  std::string x_label;
  std::string y_label;
  bool starts_at_zero = false;  ///< the vertical axis begins at 0
};

/// Lines over a common pair of axes; points are thinned to what the width can show, and the legend
/// says of how many. Empty where no curve has a point.   Threads: safe.
std::string line_chart(const ChartText& text, const std::vector<Curve>& curves);

/// Bars of `width` each, the first from 0 on, with a line at `limit` unless it is 0. Empty for no
/// bars.   Threads: safe.
std::string bar_chart(const ChartText& text, std::span<const double> counts, double width,
                      double limit);

}  // namespace llava::train_report
