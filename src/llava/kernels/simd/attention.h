// SPDX-License-Identifier: Apache-2.0
//
// Softmax attention with a running maximum, for any instruction set. Keys are taken in blocks of
// kAttentionBlock positions aligned to absolute positions. Inside a block nothing depends on the
// other queries, on the pages or on which keys the call's other rows see:
//   score    q.k as a chain of fused multiply-adds over the head width, times scale
//   weights  exp(score - running maximum); their sum by lanes (position mod lanes), then the lanes
//   output   scaled by exp(old maximum - new), then one fused multiply-add per key in order
#pragma once

#include "llava/kernels/kernel_table.h"
#include "llava/kernels/simd/elementwise.h"

namespace llava::kernels {
namespace {

struct KeyRange {
  int64_t begin;
  int64_t end;
};

/// Keys that a row's query sees.
inline KeyRange visible_keys(const AttentionArgs& args, int64_t row) {
  const int64_t position = args.first_position + row / args.group;
  const int64_t first = args.window > 0 ? position + 1 - args.window : 0;
  return {first > 0 ? first : 0, args.is_causal ? position + 1 : args.num_keys};
}

/// The part of `range` inside the block at `base`, relative to it; empty when begin >= end.
inline KeyRange clip_to_block(KeyRange range, int64_t base) {
  const int64_t begin = range.begin - base;
  const int64_t end = range.end - base;
  return {begin > 0 ? begin : 0, end < kAttentionBlock ? end : kAttentionBlock};
}

/// Where the rows of positions [base + keys.begin, base + keys.end) lie, in elements.
struct RowOffsets {
  KeyRange keys;
  int64_t offsets[kAttentionBlock];

  RowOffsets(const KeyValueRows& cache, int64_t base, KeyRange present) : keys(present) {
    int64_t page = (base + keys.begin) / cache.page_size;
    int64_t slot = (base + keys.begin) % cache.page_size;
    for (int64_t j = keys.begin; j < keys.end; ++j) {
      offsets[j] = (cache.pages[page] * cache.page_size + slot) * cache.stride;
      if (++slot < cache.page_size) continue;
      slot = 0;
      ++page;
    }
  }
};

/// The working memory of one call, laid out in the scratch buffer.
struct AttentionScratch {
  int64_t padded_width;
  float* keys_transposed;  // [padded_width][kAttentionBlock]
  float* values;           // [kAttentionBlock][padded_width]
  float* q;                // [rows][padded_width]
  float* sums;             // [rows][padded_width]
  float* maxima;           // [rows]
  float* totals;           // [rows]
  float* scores;           // [tile rows][kAttentionBlock]

  explicit AttentionScratch(const AttentionArgs& args)
      : padded_width((args.head_width + 15) / 16 * 16),
        keys_transposed(reinterpret_cast<float*>(args.scratch)),
        values(keys_transposed + padded_width * kAttentionBlock),
        q(values + padded_width * kAttentionBlock),
        sums(q + kAttentionMaxRows * padded_width),
        maxima(sums + kAttentionMaxRows * padded_width),
        totals(maxima + kAttentionMaxRows),
        scores(totals + kAttentionMaxRows) {}
};

/// The keys and values of one block where they lie: for the few rows of a decoding step, which read
/// each only once.
template <class I, class T>
struct CachedBlock {
  using V = typename I::V;

  const AttentionArgs& args;
  const AttentionScratch& scratch;
  const RowOffsets& rows;
  /// The block that will be read after this one, or null.
  const RowOffsets* next;

  const T* key_row(int64_t j) const {
    return static_cast<const T*>(args.cache.keys) + rows.offsets[j];
  }
  const T* value_row(int64_t j) const {
    return static_cast<const T*>(args.cache.values) + rows.offsets[j];
  }

  /// Columns [e, e + lanes) of keys [j, j + lanes), transposed: tile[i] is column e + i.
  [[gnu::always_inline]] void load_keys(int64_t j, int64_t e, V (&tile)[I::kLanes]) const {
    const KeyRange keys = rows.keys;
    if (j >= keys.begin && j + I::kLanes <= keys.end && e + I::kLanes <= args.head_width) {
#pragma GCC unroll 16
      for (int i = 0; i < I::kLanes; ++i) tile[i] = I::load(key_row(j + i) + e);
    } else {
      for (int i = 0; i < I::kLanes; ++i) {
        const bool is_present = j + i >= keys.begin && j + i < keys.end;
        tile[i] = is_present ? load_some<I>(key_row(j + i) + e, args.head_width - e) : I::zero();
      }
    }
    I::transpose(tile);
  }

  [[gnu::always_inline]] void prefetch_row(const T* row) const {
    const int64_t bytes = args.head_width * static_cast<int64_t>(sizeof(T));
    for (int64_t byte = 0; byte < bytes; byte += 64) {
      __builtin_prefetch(reinterpret_cast<const char*>(row) + byte);
    }
  }
  /// Asks for the values of keys [j, j + lanes), and for the same keys of the next block.
  [[gnu::always_inline]] void prefetch(int64_t j) const {
    for (int64_t i = j; i < j + I::kLanes; ++i) {
      if (i >= rows.keys.begin && i < rows.keys.end) prefetch_row(value_row(i));
      if (next != nullptr && i < next->keys.end) {
        prefetch_row(static_cast<const T*>(args.cache.keys) + next->offsets[i]);
      }
    }
  }

  /// scores[r][j] = scale * q[r] . key j for all keys of the block.
  template <int R>
  void score(int64_t row, int64_t num_rows) const {
    if constexpr (R > 1) {
      if (num_rows < R) return score<R - 1>(row, num_rows);
    }
    const float* q = scratch.q + row * scratch.padded_width;
    for (int64_t j = 0; j < kAttentionBlock; j += I::kLanes) {
      if (j + I::kLanes <= rows.keys.begin || j >= rows.keys.end) continue;
      prefetch(j);
      V acc[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) acc[r] = I::zero();
      for (int64_t e = 0; e < args.head_width; e += I::kLanes) {
        V tile[I::kLanes];
        load_keys(j, e, tile);
        const int64_t left = args.head_width - e;
        if (left >= I::kLanes) {
#pragma GCC unroll 16
          for (int i = 0; i < I::kLanes; ++i) {
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
              acc[r] = I::fma(I::set1(q[r * scratch.padded_width + e + i]), tile[i], acc[r]);
            }
          }
        } else {
          for (int64_t i = 0; i < left; ++i) {
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r) {
              acc[r] = I::fma(I::set1(q[r * scratch.padded_width + e + i]), tile[i], acc[r]);
            }
          }
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        I::store(scratch.scores + r * kAttentionBlock + j, I::mul(acc[r], I::set1(args.scale)));
      }
    }
  }
};

/// The keys and values of one block as float32, the keys transposed: for many rows.
template <class I, class T>
struct PackedBlock {
  using V = typename I::V;

  const AttentionArgs& args;
  const AttentionScratch& scratch;

  PackedBlock(const AttentionArgs& call, const AttentionScratch& memory, const RowOffsets& rows)
      : args(call), scratch(memory) {
    const CachedBlock<I, T> cached{call, memory, rows, nullptr};
    for (int64_t j = 0; j < kAttentionBlock; j += I::kLanes) {
      for (int64_t e = 0; e < args.head_width; e += I::kLanes) {
        V tile[I::kLanes];
        cached.load_keys(j, e, tile);
        for (int64_t i = 0; i < I::kLanes; ++i) {
          I::store(scratch.keys_transposed + (e + i) * kAttentionBlock + j, tile[i]);
        }
      }
    }
    for (int64_t j = rows.keys.begin; j < rows.keys.end; ++j) {
      to_float<I, T>(cached.value_row(j), scratch.values + j * scratch.padded_width,
                     args.head_width);
    }
  }

  const float* value_row(int64_t j) const { return scratch.values + j * scratch.padded_width; }

  /// scores[r][j] = scale * q[r] . key j for all keys of the block.
  template <int R>
  void score(int64_t row, int64_t num_rows) const {
    if constexpr (R > 1) {
      if (num_rows < R) return score<R - 1>(row, num_rows);
    }
    const float* q = scratch.q + row * scratch.padded_width;
    const V scale = I::set1(args.scale);
    for (int64_t j = 0; j < kAttentionBlock; j += 4 * I::kLanes) {
      V acc[R][4];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) acc[r][c] = I::zero();
      }
      const float* keys = scratch.keys_transposed + j;
      for (int64_t e = 0; e < args.head_width; ++e, keys += kAttentionBlock) {
        V k[4];
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) k[c] = I::load(keys + c * I::kLanes);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          const V x = I::set1(q[r * scratch.padded_width + e]);
#pragma GCC unroll 4
          for (int c = 0; c < 4; ++c) acc[r][c] = I::fma(x, k[c], acc[r][c]);
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) {
          I::store(scratch.scores + r * kAttentionBlock + j + c * I::kLanes,
                   I::mul(acc[r][c], scale));
        }
      }
    }
  }
};

/// Turns one row of scores into weights and returns the factor for the row's earlier sums.
template <class I>
[[gnu::always_inline]] inline float soften_row(float* scores, KeyRange keys, float& maximum,
                                               float& total) {
  using V = typename I::V;
  constexpr int kVectors = static_cast<int>(kAttentionBlock) / I::kLanes;
  const bool is_whole = keys.begin == 0 && keys.end == kAttentionBlock;
  const V least = I::set1(-__builtin_inff());
  V block_maximum = least;
  for (int i = 0; i < kVectors; ++i) {
    V s = I::load(scores + i * I::kLanes);
    if (!is_whole) {
      s = I::keep_range(s, least, keys.begin - i * I::kLanes, keys.end - i * I::kLanes);
    }
    block_maximum = I::max(block_maximum, s);
  }
  const float largest = I::reduce_max(block_maximum);
  const float updated = maximum > largest ? maximum : largest;
  const V subtrahend = I::set1(updated);
  V sum = I::zero();
  for (int i = 0; i < kVectors; ++i) {
    V weight = exp<I>(I::sub(I::load(scores + i * I::kLanes), subtrahend));
    if (!is_whole) {
      weight =
          I::keep_range(weight, I::zero(), keys.begin - i * I::kLanes, keys.end - i * I::kLanes);
    }
    I::store(scores + i * I::kLanes, weight);
    sum = I::add(sum, weight);
  }
  const float factor = I::first(exp<I>(I::set1(maximum - updated)));
  total = total * factor + I::reduce_add(sum);
  maximum = updated;
  return factor;
}

/// sums[r][e .. e + N lanes) = factor[r] * sums + weights[r] . values over the keys. Less than a
/// vector of the head width may be left when N is 1.
template <class I, int R, int N, class Block>
[[gnu::always_inline]] inline void value_tile(const Block& block, const float* weights,
                                              const float* factors, float* sums, int64_t e,
                                              KeyRange keys) {
  using V = typename I::V;
  const int64_t stride = block.scratch.padded_width;
  V acc[R][N];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      acc[r][n] = I::mul(I::load(sums + r * stride + e + n * I::kLanes), I::set1(factors[r]));
    }
  }
  for (int64_t j = keys.begin; j < keys.end; ++j) {
    const auto* values = block.value_row(j) + e;
    V v[N];
    if constexpr (N == 1) {
      v[0] = load_some<I>(values, block.args.head_width - e);
    } else {
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) v[n] = I::load(values + n * I::kLanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const V p = I::set1(weights[r * kAttentionBlock + j]);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) acc[r][n] = I::fma(p, v[n], acc[r][n]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) {
      I::store(sums + r * stride + e + n * I::kLanes, acc[r][n]);
    }
  }
}

/// All of the head width for `num_rows` <= R rows that see the same keys.
template <class I, int R, class Block>
void value_rows(const Block& block, const float* weights, const float* factors, int64_t row,
                int64_t num_rows, KeyRange keys) {
  if constexpr (R > 1) {
    if (num_rows < R) {
      return value_rows<I, R - 1>(block, weights, factors, row, num_rows, keys);
    }
  }
  const int64_t width = block.args.head_width;
  float* sums = block.scratch.sums + row * block.scratch.padded_width;
  int64_t e = 0;
  if constexpr (R == 1) {
    for (; e + 8 * I::kLanes <= width; e += 8 * I::kLanes) {
      value_tile<I, R, 8>(block, weights, factors, sums, e, keys);
    }
  }
  for (; e + 4 * I::kLanes <= width; e += 4 * I::kLanes) {
    value_tile<I, R, 4>(block, weights, factors, sums, e, keys);
  }
  for (; e < width; e += I::kLanes) {
    value_tile<I, R, 1>(block, weights, factors, sums, e, keys);
  }
}

/// Takes one block of keys into the sums of at most kTileRows rows, the first being `row`.
template <class I, class Block>
void attend_tile(const Block& block, int64_t base, int64_t row, int64_t num_rows) {
  const AttentionScratch& scratch = block.scratch;
  KeyRange keys[I::kTileRows];
  float factors[I::kTileRows];
  bool is_uniform = true;
  bool is_empty = true;
  for (int64_t r = 0; r < num_rows; ++r) {
    keys[r] = clip_to_block(visible_keys(block.args, block.args.row_begin + row + r), base);
    is_uniform = is_uniform && keys[r].begin == keys[0].begin && keys[r].end == keys[0].end;
    is_empty = is_empty && keys[r].begin >= keys[r].end;
  }
  if (is_empty) return;
  block.template score<I::kTileRows>(row, num_rows);
  for (int64_t r = 0; r < num_rows; ++r) {
    if (keys[r].begin >= keys[r].end) continue;
    factors[r] = soften_row<I>(scratch.scores + r * kAttentionBlock, keys[r],
                               scratch.maxima[row + r], scratch.totals[row + r]);
  }
  if (is_uniform) {
    return value_rows<I, I::kTileRows>(block, scratch.scores, factors, row, num_rows, keys[0]);
  }
  for (int64_t r = 0; r < num_rows; ++r) {
    if (keys[r].begin >= keys[r].end) continue;
    value_rows<I, 1>(block, scratch.scores + r * kAttentionBlock, factors + r, row + r, 1, keys[r]);
  }
}

template <class I, class T>
void attention(const AttentionArgs& args) noexcept {
  const AttentionScratch scratch(args);
  const int64_t num_rows = args.row_end - args.row_begin;
  const auto offset = [&](int64_t row, int64_t stride) {
    return row / args.group * stride + row % args.group * args.head_width;
  };
  for (int64_t r = 0; r < num_rows; ++r) {
    to_float<I, T>(static_cast<const T*>(args.q) + offset(args.row_begin + r, args.q_stride),
                   scratch.q + r * scratch.padded_width, args.head_width);
    float* sums = scratch.sums + r * scratch.padded_width;
    for (int64_t e = 0; e < scratch.padded_width; e += I::kLanes) I::store(sums + e, I::zero());
    scratch.maxima[r] = -__builtin_inff();
    scratch.totals[r] = 0.0f;
  }
  const KeyRange all = {visible_keys(args, args.row_begin).begin,
                        visible_keys(args, args.row_end - 1).end};
  const int64_t first_block = all.begin / kAttentionBlock * kAttentionBlock;
  RowOffsets rows(args.cache, first_block, clip_to_block(all, first_block));
  for (int64_t base = first_block; base < all.end; base += kAttentionBlock) {
    const int64_t next_base = base + kAttentionBlock;
    const bool is_last = next_base >= all.end;
    const RowOffsets next =
        is_last ? rows : RowOffsets(args.cache, next_base, clip_to_block(all, next_base));
    if (num_rows <= I::kTileRows) {
      const CachedBlock<I, T> block{args, scratch, rows, is_last ? nullptr : &next};
      attend_tile<I>(block, base, 0, num_rows);
    } else {
      const PackedBlock<I, T> block(args, scratch, rows);
      for (int64_t r = 0; r < num_rows; r += I::kTileRows) {
        attend_tile<I>(block, base, r, num_rows - r < I::kTileRows ? num_rows - r : I::kTileRows);
      }
    }
    rows = next;
  }
  for (int64_t r = 0; r < num_rows; ++r) {
    const float* sums = scratch.sums + r * scratch.padded_width;
    T* out = static_cast<T*>(args.out) + offset(args.row_begin + r, args.out_stride);
    const typename I::V total = I::set1(scratch.totals[r]);
    for (int64_t e = 0; e < args.head_width; e += I::kLanes) {
      store_some<I>(out + e, I::div(I::load(sums + e), total), args.head_width - e);
    }
  }
}

}  // namespace
}  // namespace llava::kernels
