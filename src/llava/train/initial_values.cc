// SPDX-License-Identifier: Apache-2.0
#include "llava/train/initial_values.h"

#include <cmath>
#include <numbers>

#include "llava/core/random.h"

namespace llava::train {

double InitialValues::next() { return uniform_at(seed_, stream_, index_++); }

void InitialValues::fill_as_linear(std::span<float> values, int64_t inputs) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(inputs));
  for (float& value : values) value = static_cast<float>(bound * (2.0 * next() - 1.0));
}

void InitialValues::fill_normal(std::span<float> values, double deviation) {
  for (float& value : values) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - next()));
    value = static_cast<float>(deviation * radius * std::cos(2.0 * std::numbers::pi * next()));
  }
}

}  // namespace llava::train
