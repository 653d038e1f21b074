// SPDX-License-Identifier: Apache-2.0
//
// Scores of attention: dot products of queries with the keys of one piece, a lane for each key.
// Whether the keys are read where they lie (few rows) or from a turned copy (many), a score is the
// same chain of steps along the head width from element 0.
#pragma once

#include "llava/kernels/simd/attention_rows.h"
#include "llava/kernels/simd/turned_tile.h"

namespace llava::kernels {
namespace {

/// Asks for `bytes` bytes of the rows of positions [begin, end).
template <class T>
[[gnu::always_inline]] inline void prefetch_rows(const T* base, const PieceRows& rows,
                                                 int64_t begin, int64_t end, int64_t bytes) {
  for (int64_t j = begin; j < end; ++j) {
    const char* p = reinterpret_cast<const char*>(base + rows.offsets[j]);
    for (int64_t byte = 0; byte < bytes; byte += 64) __builtin_prefetch(p + byte, 0, 2);
  }
}

/// Adds the steps of the last, partial tile of the head width to the scores of R rows.
template <class Score, int R>
[[gnu::noinline]] void add_tail(const typename Score::Element* keys, const int64_t* offsets,
                                int64_t count, const float* units, int64_t stride, float* acc) {
  using I = typename Score::Isa;
  TurnedTile<I, typename Score::Element> tile;
  tile.load_first(keys, offsets, count);
  for (int64_t i = 0; i * Score::kStep < count; ++i) {
    const typename I::V k = Score::step(tile, static_cast<int>(i));
    for (int r = 0; r < R; ++r) {
      float* sum = acc + r * I::kLanes;
      I::store(sum, Score::accumulate(I::set1(units[r * stride + i]), k, I::load(sum)));
    }
  }
}

/// Keys whose scores are computed together where they lie: one vector, so that the registers hold
/// the turned keys beside the running sums of all rows.
template <class I>
inline constexpr int64_t kDirectKeys = I::kLanes;

/// scores[r][j] = factors[j] * q[r] . key j for kDirectKeys keys from j on, where they lie.
template <class Score, int R>
void score_direct(const typename Score::Element* keys, const int64_t* offsets, int64_t head_width,
                  const float* q, int64_t stride, int64_t num_rows, const float* factors,
                  float* scores) {
  if constexpr (R > 1) {
    if (num_rows < R) {
      return score_direct<Score, R - 1>(keys, offsets, head_width, q, stride, num_rows, factors,
                                        scores);
    }
  }
  using I = typename Score::Isa;
  using V = typename I::V;
  using Tile = TurnedTile<I, typename Score::Element>;
  constexpr int kSteps = Tile::kWidth / Score::kStep;
  V acc[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) acc[r] = I::zero();
  int64_t e = 0;
  for (; e + Tile::kWidth <= head_width; e += Tile::kWidth) {
    Tile tile;
    tile.load(keys + e, offsets);
    const float* units = q + e / Score::kStep;
#pragma GCC unroll 64
    for (int i = 0; i < kSteps; ++i) {
      const V k = Score::step(tile, i);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        acc[r] = Score::accumulate(I::set1(units[r * stride + i]), k, acc[r]);
      }
    }
  }
  if (e < head_width) {
    alignas(64) float sums[R * I::kLanes];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) I::store(sums + r * I::kLanes, acc[r]);
    add_tail<Score, R>(keys + e, offsets, head_width - e, q + e / Score::kStep, stride, sums);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc[r] = I::load(sums + r * I::kLanes);
  }
  const V factor = I::load(factors);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) I::store(scores + r * kAttentionPiece, I::mul(acc[r], factor));
}

/// Keys of the turned copy that lie side by side.
template <class I>
inline constexpr int64_t kPanelKeys = 4 * I::kLanes;

/// The turned copy of a piece's keys, as steps of scores, in panels of keys.
template <class Score>
void turn_keys(const AttentionArgs& args, const AttentionScratch& scratch, const PieceRows& rows) {
  using I = typename Score::Isa;
  using T = typename Score::Element;
  using Tile = TurnedTile<I, T>;
  constexpr int kSteps = Tile::kWidth / Score::kStep;
  constexpr int64_t kPanel = kPanelKeys<I>;
  const T* keys = static_cast<const T*>(args.cache.keys);
  const int64_t units_of_row = num_units<Score>(args.head_width);
  for (int64_t j = rows.keys.begin / kPanel * kPanel; j < rows.keys.end; j += I::kLanes) {
    float* out = scratch.keys + j / kPanel * kPanel * units_of_row + j % kPanel;
    Tile tile;
    int64_t e = 0;
    for (; e + Tile::kWidth <= args.head_width; e += Tile::kWidth) {
      tile.load(keys + e, rows.offsets + j);
#pragma GCC unroll 64
      for (int i = 0; i < kSteps; ++i, out += kPanel) I::store(out, Score::step(tile, i));
    }
    if (e == args.head_width) continue;
    Tile last;
    last.load_first(keys + e, rows.offsets + j, args.head_width - e);
    for (int i = 0; i * Score::kStep < args.head_width - e; ++i, out += kPanel) {
      I::store(out, Score::step(last, i));
    }
  }
}

/// The same scores as score_direct, whole panels, from the turned copy.
template <class Score, int R>
void score_turned(const AttentionArgs& args, const AttentionScratch& scratch, KeyRange span,
                  int64_t row, int64_t num_rows) {
  if constexpr (R > 1) {
    if (num_rows < R) return score_turned<Score, R - 1>(args, scratch, span, row, num_rows);
  }
  using I = typename Score::Isa;
  using V = typename I::V;
  constexpr int64_t kPanel = kPanelKeys<I>;
  const float* q = scratch.q + row * scratch.padded_width;
  const int64_t units_of_row = num_units<Score>(args.head_width);
  for (int64_t j = span.begin / kPanel * kPanel; j < span.end; j += kPanel) {
    V acc[R][4];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) acc[r][c] = I::zero();
    }
    const float* keys = scratch.keys + j * units_of_row;
    for (int64_t u = 0; u < units_of_row; ++u, keys += kPanel) {
      V k[4];
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) k[c] = I::load(keys + c * I::kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const V x = I::set1(q[r * scratch.padded_width + u]);
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) acc[r][c] = Score::accumulate(x, k[c], acc[r][c]);
      }
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const V factors = I::load(scratch.key_factors + j + c * I::kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        I::store(scratch.scores + r * kAttentionPiece + j + c * I::kLanes,
                 I::mul(acc[r][c], factors));
      }
    }
  }
}

}  // namespace
}  // namespace llava::kernels
