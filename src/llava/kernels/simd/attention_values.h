// SPDX-License-Identifier: Apache-2.0
//
// Weighted sums of the values of one piece: one fused multiply-add per key, in order of position.
#pragma once

#include "llava/kernels/simd/attention_rows.h"
#include "llava/kernels/simd/elementwise.h"

namespace llava::kernels {
namespace {

/// Values where they lie: for few rows, which read each only once.
template <class T>
struct CachedValues {
  const T* base;
  const PieceRows& rows;

  const T* row(int64_t j) const { return base + rows.offsets[j]; }
};

/// Values as a float32 copy, one padded row after another: for many rows.
struct WidenedValues {
  const AttentionScratch& scratch;

  const float* row(int64_t j) const { return scratch.values + j * scratch.padded_width; }
};

template <class I, class T>
void widen_values(const AttentionArgs& args, const AttentionScratch& scratch,
                  const PieceRows& rows) {
  const T* values = static_cast<const T*>(args.cache.values);
  for (int64_t j = rows.keys.begin; j < rows.keys.end; ++j) {
    to_float<I, T>(values + rows.offsets[j], scratch.values + j * scratch.padded_width,
                   args.head_width);
  }
}

/// sums[r][e .. e + N lanes) += weights[r] . values over the keys. Less than a vector of the head
/// width may be left when N is 1.
template <class I, int R, int N, class Values>
[[gnu::always_inline]] inline void value_tile(const Values& values, const float* weights,
                                              float* sums, int64_t stride, int64_t e, int64_t width,
                                              KeyRange keys) {
  using V = typename I::V;
  V acc[R][N];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) acc[r][n] = I::load(sums + r * stride + e + n * I::kLanes);
  }
  for (int64_t j = keys.begin; j < keys.end; ++j) {
    const auto* row = values.row(j) + e;
    V v[N];
    if constexpr (N == 1) {
      v[0] = load_some<I>(row, width - e);
    } else {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) v[n] = I::load(row + n * I::kLanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const V p = I::set1(weights[r * kAttentionPiece + j]);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) acc[r][n] = I::fma(p, v[n], acc[r][n]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) I::store(sums + r * stride + e + n * I::kLanes, acc[r][n]);
  }
}

/// All of the head width for `num_rows` <= R rows that see the same keys.
template <class I, int R, class Values>
void value_rows(const Values& values, const float* weights, float* sums, int64_t stride,
                int64_t width, int64_t num_rows, KeyRange keys) {
  if constexpr (R > 1) {
    if (num_rows < R) {
      return value_rows<I, R - 1>(values, weights, sums, stride, width, num_rows, keys);
    }
  }
  constexpr int kWide = R * 8 <= I::kRunningVectors ? 8 : R * 4 <= I::kRunningVectors ? 4 : 2;
  int64_t e = 0;
  for (; e + kWide * I::kLanes <= width; e += kWide * I::kLanes) {
    value_tile<I, R, kWide>(values, weights, sums, stride, e, width, keys);
  }
  if constexpr (kWide == 8) {
    for (; e + 4 * I::kLanes <= width; e += 4 * I::kLanes) {
      value_tile<I, R, 4>(values, weights, sums, stride, e, width, keys);
    }
  }
  for (; e < width; e += I::kLanes) {
    value_tile<I, R, 1>(values, weights, sums, stride, e, width, keys);
  }
}

/// sums[r] += weights[r] . values for rows that see `keys[r]`, each over its own range: what all
/// see together, the rest row by row.
template <class I, int R, class Values>
void value_sums(const Values& values, const float* weights, float* sums, int64_t stride,
                int64_t width, int64_t num_rows, const KeyRange* keys) {
  KeyRange common = keys[0];
  for (int64_t r = 1; r < num_rows; ++r) {
    if (keys[r].begin > common.begin) common.begin = keys[r].begin;
    if (keys[r].end < common.end) common.end = keys[r].end;
  }
  const auto add_alone = [&](int64_t r, KeyRange range) {
    if (range.is_empty()) return;
    value_rows<I, 1>(values, weights + r * kAttentionPiece, sums + r * stride, stride, width, 1,
                     range);
  };
  if (common.is_empty()) {
    for (int64_t r = 0; r < num_rows; ++r) add_alone(r, keys[r]);
    return;
  }
  for (int64_t r = 0; r < num_rows; ++r) add_alone(r, {keys[r].begin, common.begin});
  value_rows<I, R>(values, weights, sums, stride, width, num_rows, common);
  for (int64_t r = 0; r < num_rows; ++r) add_alone(r, {common.end, keys[r].end});
}

}  // namespace
}  // namespace llava::kernels
