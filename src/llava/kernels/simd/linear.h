// SPDX-License-Identifier: Apache-2.0
//
// x W^T + b for any instruction set, on row-major weights as they lie in the file. One loop nest
// serves one row and many: whatever the shape of the call, an output is the sum, in order, of the
// dot products of blocks of kBlock inputs, and each of those is one running vector with lanes along
// the inputs, reduced at its end by the instruction set's fixed lane reduction.
#pragma once

#include "llava/kernels/kernel_table.h"
#include "llava/kernels/simd/elementwise.h"

namespace llava::kernels {
namespace {

/// Products of T widened to float32, one fused multiply-add per element.
template <class I, class T>
struct WidenedDot {
  using Isa = I;
  using Element = T;
  using Vector = typename I::V;
  static constexpr int64_t kStep = I::kLanes;
  static constexpr int64_t kBlock = 1024;
  [[gnu::always_inline]] static Vector load(const T* p) { return I::load(p); }
  [[gnu::always_inline]] static Vector load_first(const T* p, int64_t n) {
    return I::load_first(p, n);
  }
  [[gnu::always_inline]] static typename I::V accumulate(typename I::V sum, Vector x, Vector w) {
    return I::fma(x, w, sum);
  }
};

/// sums[r * stride + c] (+)= x[r] . w[c] over one block of n inputs, R rows by C outputs.
template <class Dot, int R, int C>
[[gnu::always_inline]] inline void dot_tile(const typename Dot::Element* x, int64_t x_stride,
                                            const typename Dot::Element* w, int64_t w_stride,
                                            int64_t n, float* sums, int64_t stride, bool is_first) {
  using I = typename Dot::Isa;
  using V = typename I::V;
  V acc[R][C];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) acc[r][c] = I::zero();
  }
  int64_t i = 0;
  for (; i + Dot::kStep <= n; i += Dot::kStep) {
    typename Dot::Vector wv[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) wv[c] = Dot::load(w + c * w_stride + i);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const typename Dot::Vector xv = Dot::load(x + r * x_stride + i);
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) acc[r][c] = Dot::accumulate(acc[r][c], xv, wv[c]);
    }
  }
  if (i < n) {
    typename Dot::Vector wv[C];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) wv[c] = Dot::load_first(w + c * w_stride + i, n - i);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const typename Dot::Vector xv = Dot::load_first(x + r * x_stride + i, n - i);
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) acc[r][c] = Dot::accumulate(acc[r][c], xv, wv[c]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
    float* out = sums + r * stride;
    if constexpr (C == 4) {
      I::reduce_add4(acc[r][0], acc[r][1], acc[r][2], acc[r][3], out, is_first);
    } else {
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) {
        const float sum = I::reduce_add(acc[r][c]);
        out[c] = is_first ? sum : out[c] + sum;
      }
    }
  }
}

/// `num_rows` <= R rows by `num_outputs` outputs over one block of inputs.
template <class Dot, int R>
void dot_rows(const typename Dot::Element* x, int64_t x_stride, int64_t num_rows,
              const typename Dot::Element* w, int64_t w_stride, int64_t num_outputs, int64_t n,
              float* sums, int64_t stride, bool is_first) noexcept {
  if constexpr (R > 1) {
    if (num_rows < R) {
      return dot_rows<Dot, R - 1>(x, x_stride, num_rows, w, w_stride, num_outputs, n, sums, stride,
                                  is_first);
    }
  }
  int64_t o = 0;
  for (; o + 4 <= num_outputs; o += 4) {
    dot_tile<Dot, R, 4>(x, x_stride, w + o * w_stride, w_stride, n, sums + o, stride, is_first);
  }
  for (; o < num_outputs; ++o) {
    dot_tile<Dot, R, 1>(x, x_stride, w + o * w_stride, w_stride, n, sums + o, stride, is_first);
  }
}

template <class I, class T>
void finish_row(const float* sums, const T* bias, T* out, int64_t count) noexcept {
  for (int64_t o = 0; o < count; o += I::kLanes) {
    const int64_t n = count - o;
    typename I::V sum = load_some<I>(sums + o, n);
    if (bias != nullptr) sum = I::add(sum, load_some<I>(bias + o, n));
    store_some<I>(out + o, sum, n);
  }
}

/// Few rows: every weight is read once, in four forward streams. At most kTileRows rows.
template <class Dot, class T>
void linear_few_rows(const LinearArgs& args, int64_t o, int64_t num_outputs) noexcept {
  using I = typename Dot::Isa;
  alignas(64) float sums[I::kTileRows * kLinearPanel];
  const T* x = static_cast<const T*>(args.x);
  const T* w = static_cast<const T*>(args.weight) + o * args.num_inputs;
  for (int64_t c = 0; c < num_outputs; c += 4) {
    const int64_t count = num_outputs - c < 4 ? num_outputs - c : 4;
    for (int64_t k = 0; k < args.num_inputs; k += Dot::kBlock) {
      const int64_t n = args.num_inputs - k < Dot::kBlock ? args.num_inputs - k : Dot::kBlock;
      dot_rows<Dot, I::kTileRows>(x + k, args.x_stride, args.num_rows, w + c * args.num_inputs + k,
                                  args.num_inputs, count, n, sums + c, kLinearPanel, k == 0);
    }
  }
  const T* bias = args.bias == nullptr ? nullptr : static_cast<const T*>(args.bias) + o;
  for (int64_t r = 0; r < args.num_rows; ++r) {
    finish_row<I, T>(sums + r * kLinearPanel, bias,
                     static_cast<T*>(args.out) + r * args.out_stride + o, num_outputs);
  }
}

/// Rows of a block [num_rows, n] as Dot's elements: the tensor itself, or a float32 copy.
template <class Dot, class T>
const typename Dot::Element* as_elements(const T* rows, int64_t& stride, int64_t num_rows,
                                         int64_t n, std::byte* scratch) noexcept {
  using Element = typename Dot::Element;
  if constexpr (sizeof(Element) == sizeof(T)) {
    return reinterpret_cast<const Element*>(rows);
  } else {
    float* copy = reinterpret_cast<float*>(scratch);
    for (int64_t r = 0; r < num_rows; ++r) {
      to_float<typename Dot::Isa, T>(rows + r * stride, copy + r * Dot::kBlock, n);
    }
    stride = Dot::kBlock;
    return copy;
  }
}

/// Many rows: a panel of weights stays in the second-level cache while the rows pass by.
template <class Dot, class T>
void linear_many_rows(const LinearArgs& args, int64_t row, int64_t num_rows, int64_t o,
                      int64_t num_outputs) noexcept {
  using I = typename Dot::Isa;
  float* sums = reinterpret_cast<float*>(args.scratch);
  std::byte* w_scratch = args.scratch + kLinearMaxRows * kLinearPanel * sizeof(float);
  std::byte* x_scratch = w_scratch + kLinearPanel * 4096;
  const T* x_begin = static_cast<const T*>(args.x) + row * args.x_stride;
  const T* w_begin = static_cast<const T*>(args.weight) + o * args.num_inputs;
  // Rows split evenly, so that no tile is much smaller than the others.
  const int64_t num_tiles = (num_rows + I::kTileRows - 1) / I::kTileRows;
  for (int64_t k = 0; k < args.num_inputs; k += Dot::kBlock) {
    const int64_t n = args.num_inputs - k < Dot::kBlock ? args.num_inputs - k : Dot::kBlock;
    int64_t w_stride = args.num_inputs;
    const auto* w = as_elements<Dot, T>(w_begin + k, w_stride, num_outputs, n, w_scratch);
    for (int64_t tile = 0; tile < num_tiles; ++tile) {
      const int64_t begin = num_rows * tile / num_tiles;
      const int64_t count = num_rows * (tile + 1) / num_tiles - begin;
      int64_t x_stride = args.x_stride;
      const auto* x =
          as_elements<Dot, T>(x_begin + begin * args.x_stride + k, x_stride, count, n, x_scratch);
      dot_rows<Dot, I::kTileRows>(x, x_stride, count, w, w_stride, num_outputs, n,
                                  sums + begin * kLinearPanel, kLinearPanel, k == 0);
    }
  }
  const T* bias = args.bias == nullptr ? nullptr : static_cast<const T*>(args.bias) + o;
  for (int64_t r = 0; r < num_rows; ++r) {
    finish_row<I, T>(sums + r * kLinearPanel, bias,
                     static_cast<T*>(args.out) + (row + r) * args.out_stride + o, num_outputs);
  }
}

/// `FewDot` reads T as it lies; `ManyDot` may take float32 copies. Both give the same sums.
template <class FewDot, class ManyDot, class T>
void linear(const LinearArgs& args) noexcept {
  static_assert(ManyDot::Isa::kTileRows <= 16);
  for (int64_t o = args.output_begin; o < args.output_end; o += kLinearPanel) {
    const int64_t left = args.output_end - o;
    const int64_t num_outputs = left < kLinearPanel ? left : kLinearPanel;
    if (args.num_rows <= FewDot::Isa::kTileRows) {
      linear_few_rows<FewDot, T>(args, o, num_outputs);
      continue;
    }
    for (int64_t row = 0; row < args.num_rows; row += kLinearMaxRows) {
      const int64_t rows_left = args.num_rows - row;
      linear_many_rows<ManyDot, T>(
          args, row, rows_left < kLinearMaxRows ? rows_left : kLinearMaxRows, o, num_outputs);
    }
  }
}

template <class I, class T>
void linear_widened(const LinearArgs& args) noexcept {
  linear<WidenedDot<I, T>, WidenedDot<I, float>, T>(args);
}

}  // namespace
}  // namespace llava::kernels
