// SPDX-License-Identifier: Apache-2.0
//
// Rows of a matrix as the sums of products need them: a lane for each row, a vector for each step
// along the row. What reads a row-major matrix in place and what copies it first go through the
// same steps in the same order, so their sums are the same bits.
#pragma once

#include "llava/kernels/kernel_table.h"
#include "llava/kernels/simd/elementwise.h"

namespace llava::kernels {
namespace {

/// A part of kLanes rows, turned so that a lane is a row. Instruction sets with `kHasUnits` turn
/// 32-bit units, which hold one, two or four elements; the others turn floats.
template <class I, class T>
struct TurnedTile {
  using V = typename I::V;
  static constexpr int kPerUnit = I::kHasUnits ? static_cast<int>(4 / sizeof(T)) : 1;
  static constexpr int kWidth = I::kLanes * kPerUnit;
  V v[I::kLanes];

  /// Elements [0, kWidth) of the rows at `offsets`.
  [[gnu::always_inline]] void load(const T* rows, const int64_t* offsets) {
#pragma GCC unroll 16
    for (int i = 0; i < I::kLanes; ++i) {
      if constexpr (I::kHasUnits) {
        v[i] = I::load_units(rows + offsets[i]);
      } else {
        v[i] = I::load(rows + offsets[i]);
      }
    }
    I::transpose(v);
  }
  /// Their first `count` elements, fewer than kWidth, and zeros.
  [[gnu::noinline]] void load_first(const T* rows, const int64_t* offsets, int64_t count) {
    for (int i = 0; i < I::kLanes; ++i) {
      if constexpr (I::kHasUnits) {
        v[i] = I::load_units_first(rows + offsets[i], count);
      } else {
        v[i] = I::load_first(rows + offsets[i], count);
      }
    }
    I::transpose(v);
  }

  /// Element `i` of the part for all rows.
  [[gnu::always_inline]] V element(int i) const {
    if constexpr (kPerUnit == 1) {
      return v[i];
    } else {
      return I::unit_part(v[i / kPerUnit], i % kPerUnit, T{});
    }
  }
};

/// Steps of a sum of products: one fused multiply-add per element, on elements widened to float32.
/// A unit is what one step takes of the other factor, a float or as many bits.
template <class I, class T>
struct WidenedProduct {
  using Isa = I;
  using Element = T;
  using V = typename I::V;
  static constexpr int kStep = 1;  ///< elements that one step takes

  template <class Other>
  static void fill_units(const Other* x, float* units, int64_t count) {
    to_float<I, Other>(x, units, count);
  }
  [[gnu::always_inline]] static V step(const TurnedTile<I, T>& tile, int i) {
    return tile.element(i);
  }
  [[gnu::always_inline]] static V accumulate(V x, V w, V sum) { return I::fma(x, w, sum); }
};

/// Units of a number of elements.
template <class Product>
constexpr int64_t num_units(int64_t num_elements) {
  return (num_elements + Product::kStep - 1) / Product::kStep;
}

}  // namespace
}  // namespace llava::kernels
