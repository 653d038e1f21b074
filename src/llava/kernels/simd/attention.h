// SPDX-License-Identifier: Apache-2.0
//
// Softmax attention for any instruction set. Keys are taken in pieces of kAttentionPiece positions
// aligned to absolute positions. Nothing in a piece depends on the other queries, on the pages or
// on which keys the call's other rows see:
//   score    q.k as a chain of steps along the head width, times the scale (and the key's)
//   weights  exp(score - the piece's maximum); their sum by lanes (position mod lanes), then lanes
//   sums     one fused multiply-add per key, in order of position
// and a row's pieces are put together in order, by combine_row.
#pragma once

#include "llava/kernels/kernel_table.h"
#include "llava/kernels/simd/attention_rows.h"
#include "llava/kernels/simd/attention_scores.h"
#include "llava/kernels/simd/attention_values.h"

namespace llava::kernels {
namespace {

/// What a row's pieces come to: the largest score, the sum of the weights and of the values.
struct RowState {
  float* maximum;
  float* total;
  float* sums;
};

/// Takes a piece's result into a row's.
template <class I>
void combine_row(const RowState& row, float maximum, float total, const float* sums,
                 int64_t padded_width) {
  using V = typename I::V;
  const float updated = *row.maximum > maximum ? *row.maximum : maximum;
  const float factor = I::first(exp<I>(I::set1(*row.maximum - updated)));
  const float piece_factor = I::first(exp<I>(I::set1(maximum - updated)));
  *row.total = *row.total * factor + total * piece_factor;
  *row.maximum = updated;
  const V f = I::set1(factor);
  const V g = I::set1(piece_factor);
  for (int64_t e = 0; e < padded_width; e += I::kLanes) {
    I::store(row.sums + e, I::fma(I::load(sums + e), g, I::mul(I::load(row.sums + e), f)));
  }
}

/// Turns one row's scores of a piece into weights, as the values need them; their sum.
template <class I, bool has_factors>
[[gnu::always_inline]] inline float soften_row(float* scores, const float* value_factors,
                                               KeyRange keys, float& maximum) {
  using V = typename I::V;
  const int64_t first = keys.begin / I::kLanes * I::kLanes;
  const V least = I::set1(-__builtin_inff());
  const auto clip = [&](V v, V fill, int64_t j) {
    if (j >= keys.begin && j + I::kLanes <= keys.end) return v;
    return I::keep_range(v, fill, keys.begin - j, keys.end - j);
  };
  V largest = least;
  for (int64_t j = first; j < keys.end; j += I::kLanes) {
    largest = I::max(largest, clip(I::load(scores + j), least, j));
  }
  maximum = I::reduce_max(largest);
  const V subtrahend = I::set1(maximum);
  V sum = I::zero();
  for (int64_t j = first; j < keys.end; j += I::kLanes) {
    V weight = exp<I>(I::sub(I::load(scores + j), subtrahend));
    weight = clip(weight, I::zero(), j);
    sum = I::add(sum, weight);
    if constexpr (has_factors) weight = I::mul(weight, I::load(value_factors + j));
    I::store(scores + j, weight);
  }
  return I::reduce_add(sum);
}

/// Takes what a piece gave a row of a key head to where it belongs.
template <class I>
void keep_piece(const AttentionArgs& args, const AttentionScratch& scratch, int64_t head,
                int64_t row, float maximum, float total, const float* sums) {
  const int64_t padded = scratch.padded_width;
  const int64_t at = head * (args.row_end - args.row_begin) + row;
  if (args.partials == nullptr) {
    const RowState state{scratch.maxima + at, scratch.totals + at, scratch.sums + at * padded};
    combine_row<I>(state, maximum, total, sums, padded);
    return;
  }
  float* partial = args.partials + at * (kAttentionPartialHeader + padded);
  partial[0] = maximum;
  partial[1] = total;
  for (int64_t e = 0; e < padded; e += I::kLanes) {
    I::store(partial + kAttentionPartialHeader + e, I::load(sums + e));
  }
}

template <class I>
void clear_sums(float* sums, int64_t count) {
  for (int64_t i = 0; i < count; i += I::kLanes) I::store(sums + i, I::zero());
}

/// Keys of the piece at `base` that rows [row, row + num_rows) of the call see; the span of all.
inline KeyRange visible_in_piece(const AttentionArgs& args, int64_t base, int64_t row,
                                 int64_t num_rows, KeyRange* keys) {
  KeyRange span{kAttentionPiece, 0};
  for (int64_t r = 0; r < num_rows; ++r) {
    keys[r] = clip_to_piece(visible_keys(args, args.row_begin + row + r), base);
    if (keys[r].is_empty()) {
      keys[r] = {0, 0};
      continue;
    }
    if (keys[r].begin < span.begin) span.begin = keys[r].begin;
    if (keys[r].end > span.end) span.end = keys[r].end;
  }
  return span;
}

/// What the scores of keys [begin, end) of a head are multiplied by.
template <bool has_scales>
void fill_key_factors(const AttentionArgs& args, const AttentionScratch& scratch,
                      const PieceRows& rows, int64_t head, int64_t begin, int64_t end) {
  if constexpr (has_scales) {
    if (begin < rows.keys.begin) begin = rows.keys.begin;
    if (end > rows.keys.end) end = rows.keys.end;
    for (int64_t j = begin; j < end; ++j) {
      const int64_t at = rows.rows[j] * args.cache.scale_stride + head;
      scratch.key_factors[j] = args.cache.key_scales[at] * args.scale;
    }
  } else {
    for (int64_t j = begin; j < end; ++j) scratch.key_factors[j] = args.scale;
  }
}

template <bool has_scales>
void fill_value_factors(const AttentionArgs& args, const AttentionScratch& scratch,
                        const PieceRows& rows, int64_t head) {
  if constexpr (has_scales) {
    for (int64_t j = rows.keys.begin; j < rows.keys.end; ++j) {
      scratch.value_factors[j] =
          args.cache.value_scales[rows.rows[j] * args.cache.scale_stride + head];
    }
  }
}

/// One piece for the few rows of each key head: keys and values are read once, where they lie, a
/// block of positions for all heads after another, as they come in memory.
template <class Score>
void attend_direct(const AttentionArgs& args, const AttentionScratch& scratch,
                   const PieceRows& rows, int64_t base) {
  using I = typename Score::Isa;
  using T = typename Score::Element;
  constexpr bool kHasScales = sizeof(T) == 1;
  constexpr int64_t kKeys = kDirectKeys<I>;
  const int64_t num_rows = args.row_end - args.row_begin;
  const int64_t padded = scratch.padded_width;
  const int64_t width = args.head_width;
  const T* keys = static_cast<const T*>(args.cache.keys);
  const T* values = static_cast<const T*>(args.cache.values);
  const int64_t row_bytes = width * static_cast<int64_t>(sizeof(T));
  KeyRange seen[I::kDirectRows];
  const KeyRange span = visible_in_piece(args, base, 0, num_rows, seen);
  const int64_t first = span.begin / kKeys * kKeys;
  // Asks for what is read kBytesAhead after head h of the block at j; behind the last block of
  // `all` comes the first of `next`. Inlined, because GCC takes a function that does nothing else
  // for one without effect and drops its calls.
  constexpr int64_t kBytesAhead = 8192;
  const int64_t blocks_ahead = kBytesAhead / (kKeys * row_bytes) + 1;
  const auto prefetch = [&](const T* all, const T* next, int64_t j, int64_t h)
      __attribute__((always_inline)) {
    int64_t head = h + blocks_ahead;
    for (; head >= args.num_key_heads; head -= args.num_key_heads) j += kKeys;
    if (j >= span.end && next != nullptr) {
      all = next;
      j -= (span.end - first + kKeys - 1) / kKeys * kKeys;
    }
    prefetch_rows(all + head * width, rows, j, j + kKeys < span.end ? j + kKeys : span.end,
                  row_bytes);
  };

  for (int64_t h = -blocks_ahead; h < 0; ++h) prefetch(keys, values, first, h);
  if constexpr (!kHasScales) {
    fill_key_factors<kHasScales>(args, scratch, rows, 0, 0, kAttentionPiece);
  }
  for (int64_t j = first; j < span.end; j += kKeys) {
    for (int64_t h = 0; h < args.num_key_heads; ++h) {
      if constexpr (kHasScales) {
        fill_key_factors<kHasScales>(args, scratch, rows, h, j, j + kKeys);
      }
      prefetch(keys, values, j, h);
      score_direct<Score, I::kDirectRows>(
          keys + h * width, rows.offsets + j, width, scratch.q + h * num_rows * padded, padded,
          num_rows, scratch.key_factors + j, scratch.scores + h * num_rows * kAttentionPiece + j);
    }
  }
  float maxima[kAttentionMaxDirectRows];
  float totals[kAttentionMaxDirectRows];
  for (int64_t h = 0; h < args.num_key_heads; ++h) {
    fill_value_factors<kHasScales>(args, scratch, rows, h);
    for (int64_t r = 0; r < num_rows; ++r) {
      if (seen[r].is_empty()) continue;
      const int64_t at = h * num_rows + r;
      totals[at] = soften_row<I, kHasScales>(scratch.scores + at * kAttentionPiece,
                                             scratch.value_factors, seen[r], maxima[at]);
    }
  }
  clear_sums<I>(scratch.piece_sums, args.num_key_heads * num_rows * padded);
  for (int64_t j = first; j < span.end; j += kKeys) {
    KeyRange block[I::kDirectRows];
    for (int64_t r = 0; r < num_rows; ++r) {
      block[r] = {seen[r].begin > j ? seen[r].begin : j,
                  seen[r].end < j + kKeys ? seen[r].end : j + kKeys};
    }
    for (int64_t h = 0; h < args.num_key_heads; ++h) {
      prefetch(values, nullptr, j, h);
      const CachedValues<T> head{values + h * width, rows};
      value_sums<I, I::kDirectRows>(head, scratch.scores + h * num_rows * kAttentionPiece,
                                    scratch.piece_sums + h * num_rows * padded, padded, width,
                                    num_rows, block);
    }
  }
  for (int64_t h = 0; h < args.num_key_heads; ++h) {
    for (int64_t r = 0; r < num_rows; ++r) {
      if (seen[r].is_empty()) continue;
      const int64_t at = h * num_rows + r;
      keep_piece<I>(args, scratch, h, r, maxima[at], totals[at], scratch.piece_sums + at * padded);
    }
  }
}

/// One piece for at most kTileRows of many rows, from the copies.
template <class Score>
void attend_tile(const AttentionArgs& args, const AttentionScratch& scratch, int64_t base,
                 int64_t row, int64_t num_rows) {
  using I = typename Score::Isa;
  constexpr bool kHasScales = sizeof(typename Score::Element) == 1;
  const int64_t padded = scratch.padded_width;
  KeyRange seen[I::kTileRows];
  const KeyRange span = visible_in_piece(args, base, row, num_rows, seen);
  if (span.is_empty()) return;
  score_turned<Score, I::kTileRows>(args, scratch, span, row, num_rows);
  float maxima[I::kTileRows];
  float totals[I::kTileRows];
  for (int64_t r = 0; r < num_rows; ++r) {
    if (seen[r].is_empty()) continue;
    totals[r] = soften_row<I, kHasScales>(scratch.scores + r * kAttentionPiece,
                                          scratch.value_factors, seen[r], maxima[r]);
  }
  clear_sums<I>(scratch.piece_sums, num_rows * padded);
  value_sums<I, I::kTileRows>(WidenedValues{scratch}, scratch.scores, scratch.piece_sums, padded,
                              args.head_width, num_rows, seen);
  for (int64_t r = 0; r < num_rows; ++r) {
    if (seen[r].is_empty()) continue;
    keep_piece<I>(args, scratch, 0, row + r, maxima[r], totals[r], scratch.piece_sums + r * padded);
  }
}

/// One piece for all rows of the call.
template <class Score>
void attend_piece(const AttentionArgs& args, const AttentionScratch& scratch, const PieceRows& rows,
                  int64_t base) {
  using I = typename Score::Isa;
  using T = typename Score::Element;
  constexpr bool kHasScales = sizeof(T) == 1;
  fill_key_factors<kHasScales>(args, scratch, rows, 0, 0, kAttentionPiece);
  fill_value_factors<kHasScales>(args, scratch, rows, 0);
  turn_keys<Score>(args, scratch, rows);
  widen_values<I, T>(args, scratch, rows);
  // Rows split evenly, so that no tile is much smaller than the others.
  const int64_t num_rows = args.row_end - args.row_begin;
  const int64_t num_tiles = (num_rows + I::kTileRows - 1) / I::kTileRows;
  for (int64_t tile = 0; tile < num_tiles; ++tile) {
    const int64_t begin = num_rows * tile / num_tiles;
    attend_tile<Score>(args, scratch, base, begin, num_rows * (tile + 1) / num_tiles - begin);
  }
}

/// A row's result: its sums divided by the sum of its weights.
template <class I, class Query>
void finish_row_of_attention(const AttentionArgs& args, int64_t head, int64_t row, float total,
                             const float* sums) {
  Query* out = static_cast<Query*>(args.out) + row_offset(args, head, row, args.out_stride);
  const typename I::V divisor = I::set1(total);
  for (int64_t e = 0; e < args.head_width; e += I::kLanes) {
    store_some<I>(out + e, I::div(I::load(sums + e), divisor), args.head_width - e);
  }
}

template <class I>
void clear_row(const RowState& row, int64_t padded_width) {
  *row.maximum = -__builtin_inff();
  *row.total = 0.0f;
  clear_sums<I>(row.sums, padded_width);
}

/// Queries and results in the format Query, keys and values as `Score` reads them.
template <class Score, class Query>
void attention_heads(const AttentionArgs& args) {
  using I = typename Score::Isa;
  const AttentionScratch scratch(args);
  const int64_t num_rows = args.row_end - args.row_begin;
  const int64_t padded = scratch.padded_width;
  for (int64_t h = 0; h < args.num_key_heads; ++h) {
    for (int64_t r = 0; r < num_rows; ++r) {
      const int64_t at = h * num_rows + r;
      const Query* q = static_cast<const Query*>(args.q) +
                       row_offset(args, h, args.row_begin + r, args.q_stride);
      Score::fill_units(q, scratch.q + at * padded, args.head_width);
      if (args.partials != nullptr) continue;
      clear_row<I>({scratch.maxima + at, scratch.totals + at, scratch.sums + at * padded}, padded);
    }
  }
  const KeyRange keys = keys_of_call(args);
  const bool is_whole = args.partials == nullptr;
  const int64_t first = is_whole ? keys.begin / kAttentionPiece : args.piece_begin;
  const int64_t last = is_whole ? (keys.end - 1) / kAttentionPiece : args.piece_begin;
  for (int64_t piece = first; piece <= last; ++piece) {
    const int64_t base = piece * kAttentionPiece;
    const PieceRows rows(args.cache, base, clip_to_piece(keys, base));
    if (num_rows <= I::kDirectRows) {
      attend_direct<Score>(args, scratch, rows, base);
    } else {
      attend_piece<Score>(args, scratch, rows, base);
    }
  }
  if (!is_whole) return;
  for (int64_t h = 0; h < args.num_key_heads; ++h) {
    for (int64_t r = 0; r < num_rows; ++r) {
      const int64_t at = h * num_rows + r;
      finish_row_of_attention<I, Query>(args, h, args.row_begin + r, scratch.totals[at],
                                        scratch.sums + at * padded);
    }
  }
}

/// The call of one key head of several.
template <class T, class Query>
AttentionArgs args_of_head(AttentionArgs args, int64_t head) {
  const int64_t queries = head * args.group * args.head_width;
  args.q = static_cast<const Query*>(args.q) + queries;
  args.out = static_cast<Query*>(args.out) + queries;
  args.cache.keys = static_cast<const T*>(args.cache.keys) + head * args.head_width;
  args.cache.values = static_cast<const T*>(args.cache.values) + head * args.head_width;
  if (args.cache.key_scales != nullptr) {
    args.cache.key_scales += head;
    args.cache.value_scales += head;
  }
  if (args.partials != nullptr) {
    args.partials += head * (args.row_end - args.row_begin) *
                     (kAttentionPartialHeader + attention_padded_width(args.head_width));
  }
  args.num_key_heads = 1;
  return args;
}

template <class Score, class Query>
void attention(const AttentionArgs& args) noexcept {
  if (args.row_end - args.row_begin <= Score::Isa::kDirectRows) {
    return attention_heads<Score, Query>(args);
  }
  for (int64_t h = 0; h < args.num_key_heads; ++h) {
    attention_heads<Score, Query>(args_of_head<typename Score::Element, Query>(args, h));
  }
}

/// Puts the pieces of each row together.
template <class I, class Query>
void attention_merge(const AttentionArgs& args) noexcept {
  const AttentionScratch scratch(args);
  const int64_t padded = scratch.padded_width;
  const int64_t num_rows = args.row_end - args.row_begin;
  const RowState state{scratch.maxima, scratch.totals, scratch.sums};
  for (int64_t h = 0; h < args.num_key_heads; ++h) {
    for (int64_t r = 0; r < num_rows; ++r) {
      const KeyRange keys = visible_keys(args, args.row_begin + r);
      const float* partial =
          args.partials + (h * num_rows + r) * (kAttentionPartialHeader + padded);
      clear_row<I>(state, padded);
      for (int64_t piece = args.piece_begin; piece < args.piece_end; ++piece) {
        if (!clip_to_piece(keys, piece * kAttentionPiece).is_empty()) {
          combine_row<I>(state, partial[0], partial[1], partial + kAttentionPartialHeader, padded);
        }
        partial += args.partial_stride;
      }
      finish_row_of_attention<I, Query>(args, h, args.row_begin + r, *state.total, state.sums);
    }
  }
}

template <class I, class T>
void attention_widened(const AttentionArgs& args) noexcept {
  attention<WidenedProduct<I, T>, T>(args);
}

template <class I, class T>
void attention_of_f32(const AttentionArgs& args) noexcept {
  attention<WidenedProduct<I, T>, float>(args);
}

template <class I>
void quantize_rows(const float* x, int8_t* out, float* scales, int64_t num_rows,
                   int64_t width) noexcept {
  using V = typename I::V;
  for (int64_t r = 0; r < num_rows; ++r, x += width, out += width) {
    V largest = I::zero();
    V nothing = I::zero();  // unless a number is not finite
    for (int64_t i = 0; i < width; i += I::kLanes) {
      const V v = load_some<I>(x + i, width - i);
      largest = I::max(largest, I::abs(v));
      nothing = I::fma(v, I::zero(), nothing);
    }
    const float maximum = I::reduce_max(largest);
    const bool is_zero = !(maximum >= 0x1.0p-120f);
    scales[r] = (is_zero ? 0.0f : maximum / 127.0f) + I::reduce_add(nothing);
    const V factor = I::set1(is_zero ? 0.0f : 127.0f / maximum);
    for (int64_t i = 0; i < width; i += I::kLanes) {
      const V scaled = I::mul(load_some<I>(x + i, width - i), factor);
      const V bounded = I::min(I::set1(127.0f), I::max(I::set1(-127.0f), scaled));
      store_some<I>(out + i, I::round_nearest(bounded), width - i);
    }
  }
}

}  // namespace
}  // namespace llava::kernels
