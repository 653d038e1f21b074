// SPDX-License-Identifier: Apache-2.0
//
// x W^T + b for any instruction set, on row-major weights as they lie in the file. A lane is an
// output. Whatever the shape of the call, an output is the sum, in order, of the sums of blocks of
// kLinearBlock inputs, each a chain of steps along the inputs: few rows read the weights where they
// lie, many share a turned copy of a block.
#pragma once

#include "llava/kernels/kernel_table.h"
#include "llava/kernels/simd/elementwise.h"
#include "llava/kernels/simd/turned_tile.h"

namespace llava::kernels {
namespace {

/// Outputs of a turned copy that lie side by side: those of one tile.
template <class I>
inline constexpr int64_t kTurnedOutputs = I::kTurnedVectors * I::kLanes;
/// Floats from row to row of copied units: rows a power of two apart share few sets of the cache.
inline constexpr int64_t kCopiedStride = kLinearBlock + 16;

/// Where rows of weights begin, in elements. Those after the last stand for it: they may be read,
/// and what comes of them is never used.
template <int N>
struct RowOffsets {
  int64_t offsets[N];

  RowOffsets(int64_t num_rows, int64_t stride) {
    for (int64_t i = 0; i < N; ++i) offsets[i] = (i < num_rows ? i : num_rows - 1) * stride;
  }
};

/// Unit `i` of a row, which may lie at any address.
[[gnu::always_inline]] inline float unit_at(const char* units, int64_t i) {
  float unit;
  __builtin_memcpy(&unit, units + 4 * i, 4);
  return unit;
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

/// Adds the first `count` elements, fewer than a tile, of a vector of weight rows to the sums.
template <class Product, int R>
[[gnu::noinline]] void add_last_inputs(const typename Product::Element* w, const int64_t* offsets,
                                       int64_t count, const float* units, int64_t stride,
                                       float* acc) {
  using I = typename Product::Isa;
  TurnedTile<I, typename Product::Element> tile;
  tile.load_first(w, offsets, count);
  for (int64_t i = 0; i < num_units<Product>(count); ++i) {
    const typename I::V step = Product::step(tile, static_cast<int>(i));
    for (int r = 0; r < R; ++r) {
      float* sum = acc + r * I::kLanes;
      I::store(sum, Product::accumulate(I::set1(units[r * stride + i]), step, I::load(sum)));
    }
  }
}

/// sums[r] (+)= units[r] . weights over one block of n inputs for a vector of outputs.
template <class Product, int R>
void direct_block(const typename Product::Element* w, const int64_t* offsets, int64_t n,
                  const float* units, int64_t stride, float* sums, bool is_first) {
  using I = typename Product::Isa;
  using T = typename Product::Element;
  using V = typename I::V;
  using Tile = TurnedTile<I, T>;
  constexpr int kSteps = Tile::kWidth / Product::kStep;
  constexpr int64_t kAhead = 1024 / static_cast<int64_t>(sizeof(T));
  V acc[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) acc[r] = I::zero();
  int64_t i = 0;
  for (; i + Tile::kWidth <= n; i += Tile::kWidth) {
#pragma GCC unroll 16
    for (int k = 0; k < I::kLanes; ++k) __builtin_prefetch(w + offsets[k] + i + kAhead, 0, 2);
    Tile tile;
    tile.load(w + i, offsets);
    const float* x = units + i / Product::kStep;
#pragma GCC unroll 64
    for (int k = 0; k < kSteps; ++k) {
      const V step = Product::step(tile, k);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        acc[r] = Product::accumulate(I::set1(x[r * stride + k]), step, acc[r]);
      }
    }
  }
  alignas(64) float kept[R * I::kLanes];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) I::store(kept + r * I::kLanes, acc[r]);
  if (i < n) {
    add_last_inputs<Product, R>(w + i, offsets, n - i, units + i / Product::kStep, stride, kept);
  }
  for (int64_t at = 0; at < R * I::kLanes; at += I::kLanes) {
    const V block = I::load(kept + at);
    I::store(sums + at, is_first ? block : I::add(I::load(sums + at), block));
  }
}

/// Few rows: weights are read once, where they lie.
template <class Product, int R, class T>
void linear_direct(const LinearArgs& args) noexcept {
  if constexpr (R > 1) {
    if (args.num_rows < R) return linear_direct<Product, R - 1, T>(args);
  }
  using I = typename Product::Isa;
  // One vector of outputs at a time: more streams of weights than its lanes are read more slowly.
  constexpr int64_t kOutputs = I::kLanes;
  const T* x = static_cast<const T*>(args.x);
  const int64_t num_inputs = args.num_inputs;
  const int64_t stride = kLinearBlock;
  float* units = reinterpret_cast<float*>(args.scratch);
  float* sums = units + 16 * kLinearBlock;  // [vectors of outputs][R][lanes]
  for (int64_t k = 0; k < num_inputs; k += kLinearBlock) {
    const int64_t n = num_inputs - k < kLinearBlock ? num_inputs - k : kLinearBlock;
    for (int r = 0; r < R; ++r)
      Product::fill_units(x + r * args.x_stride + k, units + r * stride, n);
    float* tile_sums = sums;
    for (int64_t o = args.output_begin; o < args.output_end; o += kOutputs) {
      const RowOffsets<static_cast<int>(kOutputs)> rows(args.output_end - o, num_inputs);
      direct_block<Product, R>(static_cast<const T*>(args.weight) + o * num_inputs + k,
                               rows.offsets, n, units, stride, tile_sums, k == 0);
      tile_sums += kOutputs * R;
    }
  }
  const T* bias = static_cast<const T*>(args.bias);
  for (int64_t o = args.output_begin; o < args.output_end; o += I::kLanes, sums += R * I::kLanes) {
    const int64_t left = args.output_end - o;
    for (int r = 0; r < R; ++r) {
      finish_row<I, T>(sums + r * I::kLanes, bias == nullptr ? nullptr : bias + o,
                       static_cast<T*>(args.out) + r * args.out_stride + o,
                       left < I::kLanes ? left : I::kLanes);
    }
  }
}

/// The turned copy of n inputs of kTurnedOutputs rows of weights.
template <class Product>
void turn_weights(const typename Product::Element* w, const int64_t* offsets, int64_t n,
                  float* turned) {
  using I = typename Product::Isa;
  using Tile = TurnedTile<I, typename Product::Element>;
  constexpr int kSteps = Tile::kWidth / Product::kStep;
  constexpr int64_t kOutputs = kTurnedOutputs<I>;
  for (int64_t c = 0; c < kOutputs; c += I::kLanes) {
    float* out = turned + c;
    int64_t i = 0;
    for (; i + Tile::kWidth <= n; i += Tile::kWidth) {
      Tile tile;
      tile.load(w + i, offsets + c);
#pragma GCC unroll 64
      for (int k = 0; k < kSteps; ++k, out += kOutputs) I::store(out, Product::step(tile, k));
    }
    if (i == n) continue;
    Tile tile;
    tile.load_first(w + i, offsets + c, n - i);
    for (int k = 0; k < num_units<Product>(n - i); ++k, out += kOutputs) {
      I::store(out, Product::step(tile, k));
    }
  }
}

/// Rows that are copied soon: they lie too far apart for the processor to see which comes next, and
/// asked for all at once they would fill its queue.
template <class T, int A>
struct RowsAhead {
  const T* rows[A > 0 ? A : 1];

  [[gnu::always_inline]] void prefetch(int64_t i) const {
#pragma GCC unroll 4
    for (int a = 0; a < A; ++a) __builtin_prefetch(rows[a] + i, 0, 3);
  }
};

/// sums[r] (+)= units[r] . turned weights for `num_rows` <= R rows.
/// Meanwhile it fetches as many inputs of the rows at `ahead`. Not inlined: registers that the
/// caller holds would be missing.
template <class Product, int R, int A>
[[gnu::noinline]] void turned_tile(const char* units, int64_t stride, int64_t num_rows,
                                   const float* turned, int64_t count,
                                   const RowsAhead<typename Product::Element, A>& ahead,
                                   float* sums, bool is_first) {
  if constexpr (R > 1) {
    if (num_rows < R) {
      return turned_tile<Product, R - 1, A>(units, stride, num_rows, turned, count, ahead, sums,
                                            is_first);
    }
  }
  using I = typename Product::Isa;
  using V = typename I::V;
  constexpr int kVectors = I::kTurnedVectors;
  V acc[R][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kVectors; ++c) acc[r][c] = I::zero();
  }
  for (int64_t u = 0; u < count; ++u, turned += kTurnedOutputs<I>) {
    // 16 units are a line of floats.
    if (A > 0 && u % 16 == 0) ahead.prefetch(u * Product::kStep);
    V w[kVectors];
#pragma GCC unroll 4
    for (int c = 0; c < kVectors; ++c) w[c] = I::load(turned + c * I::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const V x = I::set1(unit_at(units + r * stride, u));
#pragma GCC unroll 4
      for (int c = 0; c < kVectors; ++c) acc[r][c] = Product::accumulate(x, w[c], acc[r][c]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kVectors; ++c) {
      float* sum = sums + r * kLinearPanel + c * I::kLanes;
      I::store(sum, is_first ? acc[r][c] : I::add(I::load(sum), acc[r][c]));
    }
  }
}

/// The units of a few rows' blocks of n inputs: the rows themselves where one tile takes all
/// outputs of a panel and so reads them once, or a copy.
template <class Product, class T>
const char* as_units(const T* x, int64_t x_stride, int64_t num_rows, int64_t n, float* copy,
                     int64_t& stride) {
  constexpr bool kReadsOnce = kTurnedOutputs<typename Product::Isa> == kLinearPanel;
  if (kReadsOnce && sizeof(T) * Product::kStep == sizeof(float) && n % Product::kStep == 0) {
    stride = x_stride * static_cast<int64_t>(sizeof(T));
    return reinterpret_cast<const char*>(x);
  }
  for (int64_t r = 0; r < num_rows; ++r) {
    Product::fill_units(x + r * x_stride, copy + r * kCopiedStride, n);
  }
  stride = kCopiedStride * static_cast<int64_t>(sizeof(float));
  return reinterpret_cast<const char*>(copy);
}

/// Many rows: the turned copy of a block of weights stays in the second-level cache while the rows
/// pass by, a few rows in the first. Outputs [o, o + num_outputs), at most kLinearPanel.
template <class Product, class T>
void linear_turned(const LinearArgs& args, int64_t row, int64_t num_rows, int64_t o,
                   int64_t num_outputs) noexcept {
  using I = typename Product::Isa;
  constexpr int64_t kOutputs = kTurnedOutputs<I>;
  // Rows of the next tile that each tile of outputs fetches, where they are copied.
  constexpr int kAhead =
      kOutputs == kLinearPanel
          ? 0
          : static_cast<int>((I::kTurnedRows * kOutputs + kLinearPanel - 1) / kLinearPanel);
  float* sums = reinterpret_cast<float*>(args.scratch);
  float* turned = sums + kLinearMaxRows * kLinearPanel;  // [outputs / kOutputs][inputs][kOutputs]
  float* copy = turned + kLinearBlock * kLinearPanel;
  const T* x = static_cast<const T*>(args.x) + row * args.x_stride;
  const T* w = static_cast<const T*>(args.weight) + o * args.num_inputs;
  const RowOffsets<static_cast<int>(kLinearPanel)> rows(num_outputs, args.num_inputs);
  // Rows split evenly, so that no tile is much smaller than the others.
  const int64_t num_tiles = (num_rows + I::kTurnedRows - 1) / I::kTurnedRows;
  for (int64_t k = 0; k < args.num_inputs; k += kLinearBlock) {
    const int64_t n = args.num_inputs - k < kLinearBlock ? args.num_inputs - k : kLinearBlock;
    for (int64_t c = 0; c < num_outputs; c += kOutputs) {
      turn_weights<Product>(w + k, rows.offsets + c, n, turned + c * kLinearBlock);
    }
    for (int64_t tile = 0; tile < num_tiles; ++tile) {
      const int64_t begin = num_rows * tile / num_tiles;
      const int64_t count = num_rows * (tile + 1) / num_tiles - begin;
      int64_t stride = 0;
      const char* units = as_units<Product, T>(x + begin * args.x_stride + k, args.x_stride, count,
                                               n, copy, stride);
      for (int64_t c = 0; c < num_outputs; c += kOutputs) {
        RowsAhead<T, kAhead> ahead{};
        for (int64_t a = 0; a < kAhead; ++a) {
          const int64_t r = begin + count + c / kOutputs * kAhead + a;
          ahead.rows[a] = x + (r < num_rows ? r : num_rows - 1) * args.x_stride + k;
        }
        turned_tile<Product, I::kTurnedRows>(units, stride, count, turned + c * kLinearBlock,
                                             num_units<Product>(n), ahead,
                                             sums + begin * kLinearPanel + c, k == 0);
      }
    }
  }
  const T* bias = args.bias == nullptr ? nullptr : static_cast<const T*>(args.bias) + o;
  for (int64_t r = 0; r < num_rows; ++r) {
    finish_row<I, T>(sums + r * kLinearPanel, bias,
                     static_cast<T*>(args.out) + (row + r) * args.out_stride + o, num_outputs);
  }
}

template <class Product, class T>
void linear(const LinearArgs& args) noexcept {
  using I = typename Product::Isa;
  static_assert(I::kTurnedRows <= 8 && I::kDirectRows <= 16);
  static_assert(kLinearPanel % kTurnedOutputs<I> == 0);
  for (int64_t o = args.output_begin; o < args.output_end; o += kLinearPanel) {
    const int64_t left = args.output_end - o;
    const int64_t num_outputs = left < kLinearPanel ? left : kLinearPanel;
    if (args.num_rows <= I::kDirectRows) {
      LinearArgs part = args;
      part.output_begin = o;
      part.output_end = o + num_outputs;
      linear_direct<Product, I::kDirectRows, T>(part);
      continue;
    }
    for (int64_t row = 0; row < args.num_rows; row += kLinearMaxRows) {
      const int64_t rows_left = args.num_rows - row;
      linear_turned<Product, T>(args, row, rows_left < kLinearMaxRows ? rows_left : kLinearMaxRows,
                                o, num_outputs);
    }
  }
}

template <class I, class T>
void linear_widened(const LinearArgs& args) noexcept {
  linear<WidenedProduct<I, T>, T>(args);
}

}  // namespace
}  // namespace llava::kernels
