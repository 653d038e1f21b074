// SPDX-License-Identifier: Apache-2.0
//
// Which keys a query row of attention sees, where they lie, and the working memory of one call.
#pragma once

#include "llava/kernels/kernel_table.h"

namespace llava::kernels {
namespace {

struct KeyRange {
  int64_t begin;
  int64_t end;

  bool is_empty() const { return begin >= end; }
};

/// Keys that a row's query sees.
inline KeyRange visible_keys(const AttentionArgs& args, int64_t row) {
  const int64_t position = args.first_position + row / args.group;
  const int64_t first = args.window > 0 ? position + 1 - args.window : 0;
  return {first > 0 ? first : 0, args.is_causal ? position + 1 : args.num_keys};
}

/// Keys that any row of the call sees.
inline KeyRange keys_of_call(const AttentionArgs& args) {
  return {visible_keys(args, args.row_begin).begin, visible_keys(args, args.row_end - 1).end};
}

/// The part of `range` inside the piece at `base`, relative to it.
inline KeyRange clip_to_piece(KeyRange range, int64_t base) {
  const int64_t begin = range.begin - base;
  const int64_t end = range.end - base;
  return {begin > 0 ? begin : 0, end < kAttentionPiece ? end : kAttentionPiece};
}

/// First element of the query of a row and key head, or of its result.
inline int64_t row_offset(const AttentionArgs& args, int64_t head, int64_t row, int64_t stride) {
  return row / args.group * stride + (head * args.group + row % args.group) * args.head_width;
}

/// Where the positions of a piece lie in the pages: numbers of rows, and offsets in elements.
/// Positions outside of `keys` stand for the nearest one inside: they may be read, and their scores
/// are never used.
struct PieceRows {
  KeyRange keys;
  int64_t rows[kAttentionPiece];
  int64_t offsets[kAttentionPiece];

  PieceRows(const KeyValueRows& cache, int64_t base, KeyRange present) : keys(present) {
    int64_t page = (base + keys.begin) / cache.page_size;
    int64_t slot = (base + keys.begin) % cache.page_size;
    for (int64_t j = keys.begin; j < keys.end; ++j) {
      rows[j] = cache.pages[page] * cache.page_size + slot;
      offsets[j] = rows[j] * cache.stride;
      if (++slot < cache.page_size) continue;
      slot = 0;
      ++page;
    }
    for (int64_t j = 0; j < keys.begin; ++j) offsets[j] = offsets[keys.begin];
    for (int64_t j = keys.end; j < kAttentionPiece; ++j) offsets[j] = offsets[keys.end - 1];
  }
};

/// The scratch buffer of one call. A unit is what one step of a score takes of the head width.
struct AttentionScratch {
  int64_t padded_width;
  float* keys;           // [kAttentionPiece / panel][units][panel]
  float* values;         // [kAttentionPiece][padded_width]
  float* q;              // [rows][padded_width] units
  float* sums;           // [rows][padded_width]
  float* piece_sums;     // [kAttentionMaxDirectRows][padded_width]
  float* maxima;         // [rows]
  float* totals;         // [rows]
  float* scores;         // [kAttentionMaxDirectRows][kAttentionPiece]
  float* key_factors;    // [kAttentionPiece]: what a key's scores are multiplied by
  float* value_factors;  // [kAttentionPiece]: what a value's weights are multiplied by

  explicit AttentionScratch(const AttentionArgs& args)
      : padded_width(attention_padded_width(args.head_width)),
        keys(reinterpret_cast<float*>(args.scratch)),
        values(keys + kAttentionPiece * padded_width),
        q(values + kAttentionPiece * padded_width),
        sums(q + kAttentionMaxRows * padded_width),
        piece_sums(sums + kAttentionMaxRows * padded_width),
        maxima(piece_sums + kAttentionMaxDirectRows * padded_width),
        totals(maxima + kAttentionMaxRows),
        scores(totals + kAttentionMaxRows),
        key_factors(scores + kAttentionMaxDirectRows * kAttentionPiece),
        value_factors(key_factors + kAttentionPiece) {}
};

}  // namespace
}  // namespace llava::kernels
