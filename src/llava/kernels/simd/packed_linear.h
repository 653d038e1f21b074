// SPDX-License-Identifier: Apache-2.0
//
// The product of packed matrices with 8-bit activations for any instruction set `I`
// (simd/packed_tile.h says what that offers). Few rows read the weights as they lie, each once, in
// two streams per panel. Many rows take turns at weights that the second-level cache holds, or
// unpack them for all rows where registers are too few to do it in between.
#pragma once

#include "llava/kernels/packed.h"
#include "llava/kernels/simd/packed_prepared.h"
#include "llava/kernels/simd/packed_tile.h"

namespace llava::kernels {
namespace {

/// Asks for the lines that a tile's results will be written to: where outputs are many, no cache
/// close by has them any more, and writes that wait fill the store queue.
template <int P, int C>
[[gnu::always_inline]] inline void prefetch_results(const PackedLinearArgs& args, int64_t row,
                                                    int64_t panel) {
  for (int c = 0; c < C; ++c) {
    for (int p = 0; p < P; ++p) {
      __builtin_prefetch(args.out + (row + c) * args.out_stride + (panel + p) * kPackedPanel, 1, 3);
    }
  }
}

/// P panels from `panel` on, C rows from `row` on, the weights as they lie; with `fetches_ahead`
/// those that come next are fetched from memory.
template <class I, Packed form, int P, int C>
void multiply_direct(const PackedLinearArgs& args, int64_t row, int64_t panel,
                     bool fetches_ahead) noexcept {
  alignas(64) float sums[C * P * kPackedPanel];
  for (float& sum : sums) sum = 0.0f;
  prefetch_results<P, C>(args, row, panel);
  const int64_t slabs = slabs_of(args.num_inputs);
  for (int64_t slab = 0; slab < slabs; ++slab) {
    const SlabWeights w = slab_of<form>(args, panel, slab);
    const SlabWeights ahead = slab_ahead<I, form, P>(args, panel, slab, slabs);
    const SlabRows x{args.x + row * slabs + slab, slabs};
    Tile<I, form, false>::template run<P, C>(w, fetches_ahead ? &ahead : nullptr, x, sums);
    if (!fetches_ahead) continue;
    for (int64_t group = w.num_groups; group < ahead.num_groups; ++group) {
      Tile<I, form, false>::template prefetch<P>(ahead, group);
    }
  }
  for (int c = 0; c < C; ++c) {
    for (int p = 0; p < P; ++p) {
      finish_panel<I>(args, row + c, (panel + p) * kPackedPanel, sums + (c * P + p) * kPackedPanel);
    }
  }
}

template <class I, Packed form, int P, int C>
void multiply_direct_panels(const PackedLinearArgs& args, int64_t row, int64_t panel, int64_t end,
                            bool fetches_ahead) noexcept {
  for (; panel + P <= end; panel += P) {
    multiply_direct<I, form, P, C>(args, row, panel, fetches_ahead);
  }
  if constexpr (P > 1) {
    if (panel < end) {
      multiply_direct_panels<I, form, P / 2, C>(args, row, panel, end, fetches_ahead);
    }
  }
}

/// num_rows <= C rows from `row` on.
template <class I, Packed form, int C>
void multiply_few_rows(const PackedLinearArgs& args, int64_t row, int64_t num_rows, int64_t begin,
                       int64_t end, bool fetches_ahead) noexcept {
  if constexpr (C > 1) {
    if (num_rows < C) {
      return multiply_few_rows<I, form, C - 1>(args, row, num_rows, begin, end, fetches_ahead);
    }
  }
  multiply_direct_panels<I, form, I::kPanels, C>(args, row, begin, end, fetches_ahead);
}

/// Rows in turns at kPanels panels, as many rows at a time as the second-level cache holds beside
/// the weights, which the first turn fetches.
template <class I, Packed form>
void multiply_in_turns(const PackedLinearArgs& args, int64_t begin, int64_t end) noexcept {
  const int64_t cached_turns = (cached_rows(args.num_inputs) + I::kTileRows - 1) / I::kTileRows;
  // Turns of the same size, or one less.
  const int64_t turns = (args.num_rows + I::kTileRows - 1) / I::kTileRows;
  for (int64_t first = 0; first < turns; first += cached_turns) {
    const int64_t last = first + cached_turns < turns ? first + cached_turns : turns;
    for (int64_t panel = begin; panel < end; panel += I::kPanels) {
      const int64_t panel_end = panel + I::kPanels < end ? panel + I::kPanels : end;
      for (int64_t turn = first; turn < last; ++turn) {
        const int64_t row = args.num_rows * turn / turns;
        const int64_t num_rows = args.num_rows * (turn + 1) / turns - row;
        multiply_few_rows<I, form, I::kTileRows>(args, row, num_rows, panel, panel_end,
                                                 turn == first);
      }
    }
  }
}

template <class I, Packed form>
void packed_linear(const PackedLinearArgs& args) noexcept {
  if (args.num_rows == 0) return;
  const int64_t begin = args.output_begin / kPackedPanel;
  const int64_t end = (args.output_end + kPackedPanel - 1) / kPackedPanel;
  if (args.num_rows <= I::kDirectRows) {
    multiply_few_rows<I, form, I::kDirectRows>(args, 0, args.num_rows, begin, end, true);
  } else if constexpr (I::kPreparesWeights) {
    multiply_prepared_rows<I, form>(args, begin, end);
  } else {
    multiply_in_turns<I, form>(args, begin, end);
  }
}

}  // namespace
}  // namespace llava::kernels
