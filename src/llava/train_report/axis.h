// SPDX-License-Identifier: Apache-2.0
//
// An axis of a chart: the range of its values, where they lie on the page, and its round numbers.
#pragma once

#include <vector>

namespace llava::train_report {

/// Maps [low, high] to [begin, end] of the page.
struct Axis {
  double low = 0;
  double high = 1;
  double begin = 0;  ///< where `low` lies, in units of the drawing
  double end = 1;    ///< where `high` lies

  double place(double value) const { return begin + (end - begin) * (value - low) / (high - low); }
  /// At most about `most` values inside the range: multiples of 1, 2 or 5 times a power of ten.
  std::vector<double> ticks(int most) const;
};

/// An axis for values from `low` to `high`, widened where they are equal.
/// Throws: Error(kInternal) for values that are no numbers.   Threads: safe.
Axis make_axis(double low, double high, double begin, double end);

}  // namespace llava::train_report
