// SPDX-License-Identifier: Apache-2.0
//
// The scale, and the minimum, of a group of 4-bit weights: the search that quantize_weights.h
// speaks of, for one group.
#pragma once

#include <array>
#include <cstddef>

#include "llava/tensor/packed.h"

namespace llava::checkpoint {

inline constexpr std::size_t kGroupSize = kPackedGroup;
using GroupValues = std::array<float, kGroupSize>;

/// The `count` weights of a group, all finite, and what an error in each costs. Behind them stand
/// zeros, whose importance is zero.
struct GroupInput {
  GroupValues x{};
  GroupValues importance{};
  std::size_t count = kGroupSize;

  auto begin() const { return x.begin(); }
  auto end() const { return x.begin() + static_cast<std::ptrdiff_t>(count); }
};

/// What is stored beside the codes: values that float16 holds.
struct GroupFit {
  float scale = 0;
  float minimum = 0;
};

/// Integer codes [low, high] that come nearest to (x - minimum) / scale; zero where the scale is.
void choose_codes(const GroupInput& in, const GroupFit& fit, float low, float high,
                  GroupValues& codes) noexcept;

/// The scale with the least sum of importance * (x - scale * q)^2 that the search finds, q being
/// the nearest codes in [-8, 7]. Never worse than the plain rule, by which the largest weight takes
/// the code -8.   Threads: safe to share.
GroupFit search_scale(const GroupInput& in) noexcept;

/// As search_scale, for scale * q + minimum with q in [0, 15]; the plain rule is smallest and
/// largest weight as ends.
GroupFit search_scale_and_minimum(const GroupInput& in) noexcept;

}  // namespace llava::checkpoint
