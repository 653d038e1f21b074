// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/axis.h"

#include <algorithm>
#include <cmath>

#include "llava/core/check.h"

namespace llava::train_report {
namespace {

// Bounds the loop over ticks where values are so large that adding a step does not change them.
constexpr int kMostTicks = 20;

double round_step(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least) return factor * power;
  }
  return 10 * power;
}

}  // namespace

std::vector<double> Axis::ticks(int most) const {
  const double step = round_step((high - low) / most);
  const double first = std::ceil(low / step - 1e-9);
  std::vector<double> values;
  for (int i = 0; i < kMostTicks; ++i) {
    const double value = (first + i) * step;
    if (value > high + 1e-9 * (high - low)) break;
    values.push_back(value);
  }
  return values;
}

Axis make_axis(double low, double high, double begin, double end) {
  LLAVA_CHECK(std::isfinite(low) && std::isfinite(high) && low <= high, "range of an axis");
  if (high - low <= 1e-12 * std::max(std::abs(low), std::abs(high))) {
    const double margin = std::max(std::abs(low) * 0.1, 1e-12);
    high += margin;
    low = low == 0 ? 0 : low - margin;
  }
  return {.low = low, .high = high, .begin = begin, .end = end};
}

}  // namespace llava::train_report
