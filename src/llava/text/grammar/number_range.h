// SPDX-License-Identifier: Apache-2.0
//
// Numbers between two bounds, as grammars of their decimal digits.
#pragma once

#include <cstdint>
#include <optional>

#include "llava/text/grammar/syntax.h"

namespace llava::text::grammar {

/// Integers from `min` to `max`, both included; without leading zeros or "-0".
Expression integer_range(int64_t min, int64_t max);

/// One end of a range of numbers.
struct NumberBound {
  double value = 0;
  bool is_included = true;
};

/// Some numbers between two bounds: those with up to nine digits before the point and six behind
/// it, whole parts that lie inside the bounds with every fraction. Of a range that holds no whole
/// number, nothing.
Expression number_range(std::optional<NumberBound> min, std::optional<NumberBound> max);

}  // namespace llava::text::grammar
