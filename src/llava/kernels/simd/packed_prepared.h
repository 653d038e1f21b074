// SPDX-License-Identifier: Apache-2.0
//
// Many rows by a packed matrix where registers are few: a slab of weights is unpacked into scratch
// once, all rows use it there, and their running sums stay there too.
#pragma once

#include "llava/kernels/packed.h"
#include "llava/kernels/simd/packed_tile.h"

namespace llava::kernels {
namespace {

/// Scratch of a call with many rows.
template <int P>
struct ManyRowsScratch {
  std::byte codes[P * kSlabGroups * kPackedPanel * kPackedGroup];
  float scales[P][kSlabGroups * 2 * kPackedPanel];
  float minima[P][kSlabGroups * kPackedPanel];
  float sums[kPackedRows * P * kPackedPanel];
};

/// A slab of P panels as every row needs it.
template <class I, Packed form, int P>
[[gnu::always_inline]] inline SlabWeights prepare(const SlabWeights& w,
                                                  ManyRowsScratch<P>& scratch) {
  constexpr int64_t kUnpackedBytes = kPackedPanel * kPackedGroup;
  constexpr int64_t kScales = packed_scales_per_group(form);
  constexpr int64_t kStep = 4 * I::kLanes;
  for (int p = 0; p < P; ++p) {
    if constexpr (packed_is_4_bit(form)) {
      const std::byte* in = w.codes + p * w.code_stride;
      std::byte* out = scratch.codes + p * kSlabGroups * kUnpackedBytes;
      for (int64_t pair = 0; pair < 4 * w.num_groups; ++pair) {
        for (int64_t i = 0; i < 64; i += kStep) {
          I::unpack_nibbles(in + pair * 64 + i, out + pair * 128 + i, out + pair * 128 + 64 + i);
        }
      }
    }
    const std::byte* scales = w.scales + p * w.scale_stride;
    for (int64_t i = 0; i < w.num_groups * kScales * kPackedPanel; i += I::kLanes) {
      I::store(scratch.scales[p] + i, I::load_halves(scales + 2 * i));
    }
    if constexpr (packed_has_minimum(form)) {
      const std::byte* minima = w.minima + p * w.minimum_stride;
      for (int64_t i = 0; i < w.num_groups * kPackedPanel; i += I::kLanes) {
        I::store(scratch.minima[p] + i, I::load_halves(minima + 2 * i));
      }
    }
  }
  return {.codes = packed_is_4_bit(form) ? scratch.codes : w.codes,
          .scales = reinterpret_cast<const std::byte*>(scratch.scales),
          .minima = reinterpret_cast<const std::byte*>(scratch.minima),
          .code_stride = packed_is_4_bit(form) ? kSlabGroups * kUnpackedBytes : w.code_stride,
          .scale_stride = sizeof scratch.scales[0],
          .minimum_stride = sizeof scratch.minima[0],
          .num_groups = w.num_groups};
}

/// One slab of P panels by num_rows <= C rows.
template <class I, Packed form, int P, int C>
void multiply_prepared(const SlabWeights& w, const SlabRows& x, int64_t num_rows,
                       float* sums) noexcept {
  if constexpr (C > 1) {
    if (num_rows < C) return multiply_prepared<I, form, P, C - 1>(w, x, num_rows, sums);
  }
  Tile<I, form, true>::template run<P, C>(w, nullptr, x, sums);
}

/// P panels from `panel` on, num_rows <= kPackedRows rows from `row` on.
template <class I, Packed form, int P>
void multiply_many_rows(const PackedLinearArgs& args, int64_t row, int64_t num_rows,
                        int64_t panel) noexcept {
  static_assert(sizeof(ManyRowsScratch<P>) <= kPackedScratchBytes);
  auto& scratch = *reinterpret_cast<ManyRowsScratch<P>*>(args.scratch);
  const int64_t slabs = slabs_of(args.num_inputs);
  // Rows split evenly, so that no tile is much smaller than the others.
  const int64_t num_tiles = (num_rows + I::kTileRows - 1) / I::kTileRows;
  for (int64_t i = 0; i < num_rows * P * kPackedPanel; ++i) scratch.sums[i] = 0.0f;
  for (int64_t slab = 0; slab < slabs; ++slab) {
    const SlabWeights packed = slab_of<form>(args, panel, slab);
    const SlabWeights w = prepare<I, form, P>(packed, scratch);
    const SlabWeights ahead = slab_ahead<I, form, P>(args, panel, slab, slabs);
    for (int64_t group = 0; group < ahead.num_groups; ++group) {
      Tile<I, form, true>::template prefetch<P>(ahead, group);
    }
    const PackedActivations* x = args.x + row * slabs + slab;
    for (int64_t tile = 0; tile < num_tiles; ++tile) {
      const int64_t begin = num_rows * tile / num_tiles;
      const int64_t count = num_rows * (tile + 1) / num_tiles - begin;
      multiply_prepared<I, form, P, I::kTileRows>(w, {x + begin * slabs, slabs}, count,
                                                  scratch.sums + begin * P * kPackedPanel);
    }
  }
  for (int64_t r = 0; r < num_rows; ++r) {
    for (int p = 0; p < P; ++p) {
      finish_panel<I>(args, row + r, (panel + p) * kPackedPanel,
                      scratch.sums + (r * P + p) * kPackedPanel);
    }
  }
}

template <class I, Packed form, int P>
void multiply_many_rows_panels(const PackedLinearArgs& args, int64_t row, int64_t num_rows,
                               int64_t panel, int64_t end) noexcept {
  for (; panel + P <= end; panel += P) multiply_many_rows<I, form, P>(args, row, num_rows, panel);
  if constexpr (P > 1) {
    if (panel < end) {
      multiply_many_rows_panels<I, form, P / 2>(args, row, num_rows, panel, end);
    }
  }
}

template <class I, Packed form>
void multiply_prepared_rows(const PackedLinearArgs& args, int64_t begin, int64_t end) noexcept {
  const int64_t cached = cached_rows(args.num_inputs);
  const int64_t most = cached < kPackedRows ? cached : kPackedRows;
  const int64_t turns = (args.num_rows + most - 1) / most;
  for (int64_t turn = 0; turn < turns; ++turn) {
    const int64_t row = args.num_rows * turn / turns;
    const int64_t num_rows = args.num_rows * (turn + 1) / turns - row;
    multiply_many_rows_panels<I, form, I::kPanels>(args, row, num_rows, begin, end);
  }
}

}  // namespace
}  // namespace llava::kernels
