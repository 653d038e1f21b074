// SPDX-License-Identifier: Apache-2.0
//
// The tile of the product of packed matrices with 8-bit activations: some panels by some rows over
// one slab of inputs, for any instruction set `I`. What such a type offers (x86/avx512_packed.h):
// float vectors V of kLanes lanes, integer vectors Int, operands Weight (codes of kLanes outputs by
// 4 inputs) and X (4 inputs, in every lane), and Sum, the exact sum of products of a group: start
// with a first value, accumulate, finish with the same first value. A Sum may keep narrower numbers
// in between as long as a group cannot overflow them.
//
// The order of a tile's sums does not depend on its shape: every panel and row is computed alike.
#pragma once

#include "llava/kernels/packed.h"

namespace llava::kernels {
namespace {

inline constexpr int64_t kSlabGroups = kPackedSlab / kPackedGroup;

/// Weights of one slab of some panels. As they lie in the matrix, or prepared: codes of 4 bits
/// unpacked to bytes in the layout of 8 bits, scales and minima widened to float32. Strides lead
/// from panel to panel.
struct SlabWeights {
  const std::byte* codes;
  const std::byte* scales;
  const std::byte* minima;
  int64_t code_stride;
  int64_t scale_stride;
  int64_t minimum_stride;
  int64_t num_groups;
};

/// Activations of one slab of some rows, `stride` records from row to row.
struct SlabRows {
  const PackedActivations* records;
  int64_t stride;
  [[gnu::always_inline]] const PackedActivations& row(int c) const { return records[c * stride]; }
};

[[gnu::always_inline]] inline int64_t slabs_of(int64_t num_inputs) {
  return (num_inputs + kPackedSlab - 1) / kPackedSlab;
}

/// Rows whose activations the second-level cache holds beside the weights, at the least one.
[[gnu::always_inline]] inline int64_t cached_rows(int64_t num_inputs) {
  constexpr int64_t kCachedBytes = 512 * 1024;
  const int64_t row_bytes = slabs_of(num_inputs) * static_cast<int64_t>(sizeof(PackedActivations));
  return kCachedBytes / row_bytes + 1;
}

/// A panel's slab as it lies in the matrix.
template <Packed form>
[[gnu::always_inline]] inline SlabWeights slab_of(const PackedLinearArgs& args, int64_t panel,
                                                  int64_t slab) {
  const int64_t groups = packed_groups(args.num_inputs);
  const int64_t stride = packed_panel_bytes(form, args.num_inputs);
  const int64_t begin = slab * kSlabGroups;
  const std::byte* codes = args.weight + panel * stride;
  const std::byte* scales = codes + groups * packed_code_bytes(form);
  const std::byte* minima = scales + groups * packed_scale_bytes(form);
  return {.codes = codes + begin * packed_code_bytes(form),
          .scales = scales + begin * packed_scale_bytes(form),
          .minima = minima + begin * packed_minimum_bytes(form),
          .code_stride = stride,
          .scale_stride = stride,
          .minimum_stride = stride,
          .num_groups = groups - begin < kSlabGroups ? groups - begin : kSlabGroups};
}

template <class I, Packed form, bool is_prepared>
struct Tile {
  static constexpr bool kIs4Bit = packed_is_4_bit(form);
  static constexpr bool kHasNibbles = kIs4Bit && !is_prepared;
  static constexpr int kParts = static_cast<int>(kPackedPanel) / I::kLanes;
  static constexpr int kScales = packed_scales_per_group(form);
  static constexpr int64_t kCodeBytes =
      is_prepared ? kPackedPanel * kPackedGroup : packed_code_bytes(form);
  static constexpr int64_t kHalfBytes = is_prepared ? 4 : 2;
  static constexpr int64_t kBlockGroups = packed_activation_block(form) / kPackedGroup;
  using V = typename I::V;

  [[gnu::always_inline]] static V load_number(const std::byte* p) {
    if constexpr (is_prepared) {
      return I::load(reinterpret_cast<const float*>(p));
    } else {
      return I::load_halves(p);
    }
  }

  /// What is added to the products of codes: they are unsigned, or where kHasSignedCodes those of 8
  /// bits are less 128.
  [[gnu::always_inline]] static int32_t first_value(PackedActivations::Sum sum) {
    if constexpr (I::kHasSignedCodes && !kIs4Bit) {
      return packed_has_minimum(form) ? 128 * static_cast<int32_t>(sum.number) : 0;
    } else {
      return packed_has_minimum(form) ? 0 : sum.integer;
    }
  }

  /// sums[c][..] += the products of steps [begin, end) of 4 inputs of one group.
  template <int P, int C>
  [[gnu::always_inline]] static void accumulate(const std::byte* codes, int64_t stride, int begin,
                                                int end, const SlabRows& x, int64_t input,
                                                typename I::Sum (&sums)[C][P * kParts]) {
    if constexpr (kHasNibbles) {
#pragma GCC unroll 4
      for (int pair = begin / 2; pair < end / 2; ++pair) {
        typename I::Weight low[P * kParts];
        typename I::Weight high[P * kParts];
#pragma GCC unroll 8
        for (int v = 0; v < P * kParts; ++v) {
          I::load_nibbles(codes + v / kParts * stride + pair * 64 + v % kParts * (4 * I::kLanes),
                          low[v], high[v]);
        }
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
          const typename I::X x_low = I::four_codes(x.row(c).codes + input + 8 * pair);
          const typename I::X x_high = I::four_codes(x.row(c).codes + input + 8 * pair + 4);
#pragma GCC unroll 8
          for (int v = 0; v < P * kParts; ++v) {
            I::template accumulate<kIs4Bit>(sums[c][v], low[v], x_low);
            I::template accumulate<kIs4Bit>(sums[c][v], high[v], x_high);
          }
        }
      }
    } else {
#pragma GCC unroll 8
      for (int step = begin; step < end; ++step) {
        typename I::Weight w[P * kParts];
#pragma GCC unroll 8
        for (int v = 0; v < P * kParts; ++v) {
          w[v] = I::template load_codes<kIs4Bit>(codes + v / kParts * stride + step * 64 +
                                                 v % kParts * (4 * I::kLanes));
        }
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
          const typename I::X xv = I::four_codes(x.row(c).codes + input + 4 * step);
#pragma GCC unroll 8
          for (int v = 0; v < P * kParts; ++v) {
            I::template accumulate<kIs4Bit>(sums[c][v], w[v], xv);
          }
        }
      }
    }
  }

  /// Adds one group of P panels by C rows to its block.
  template <int P, int C>
  [[gnu::always_inline]] static void add_group(const SlabWeights& w, int64_t group,
                                               const SlabRows& x, V (&block)[C][P * kParts]) {
    const std::byte* codes = w.codes + group * kCodeBytes;
    const std::byte* scales = w.scales + group * kScales * kPackedPanel * kHalfBytes;
#pragma GCC unroll 2
    for (int part = 0; part < kScales; ++part) {
      typename I::Sum sums[C][P * kParts];
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) {
        const int32_t first = first_value(x.row(c).sums[group * kScales + part]);
#pragma GCC unroll 8
        for (int v = 0; v < P * kParts; ++v) sums[c][v] = I::template start<kIs4Bit>(first);
      }
      accumulate<P, C>(codes, w.code_stride, 8 / kScales * part, 8 / kScales * (part + 1), x,
                       group * kPackedGroup, sums);
#pragma GCC unroll 8
      for (int v = 0; v < P * kParts; ++v) {
        const V scale = load_number(scales + v / kParts * w.scale_stride +
                                    (part * kPackedPanel + v % kParts * I::kLanes) * kHalfBytes);
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
          const int32_t first = first_value(x.row(c).sums[group * kScales + part]);
          const typename I::Int products = I::template finish<kIs4Bit>(sums[c][v], first);
          block[c][v] = I::fma(I::to_float(products), scale, block[c][v]);
        }
      }
    }
    if constexpr (packed_has_minimum(form)) {
      const std::byte* minima = w.minima + group * kPackedPanel * kHalfBytes;
#pragma GCC unroll 8
      for (int v = 0; v < P * kParts; ++v) {
        const V minimum = load_number(minima + v / kParts * w.minimum_stride +
                                      v % kParts * I::kLanes * kHalfBytes);
#pragma GCC unroll 8
        for (int c = 0; c < C; ++c) {
          block[c][v] = I::fma(I::set1(x.row(c).sums[group].number), minimum, block[c][v]);
        }
      }
    }
  }

  /// Fetches one group of each panel, as it lies in the matrix.
  template <int P>
  [[gnu::always_inline]] static void prefetch(const SlabWeights& ahead, int64_t group) {
    for (int p = 0; p < P; ++p) {
      for (int64_t line = 0; line < packed_code_bytes(form); line += 64) {
        I::prefetch(ahead.codes + p * ahead.code_stride + group * packed_code_bytes(form) + line);
      }
      I::prefetch(ahead.scales + p * ahead.scale_stride + group * packed_scale_bytes(form));
      if constexpr (packed_has_minimum(form)) {
        I::prefetch(ahead.minima + p * ahead.minimum_stride + group * packed_minimum_bytes(form));
      }
    }
  }

  template <int P, int C>
  [[gnu::always_inline]] static void set_zero(V (&values)[C][P * kParts]) {
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
#pragma GCC unroll 8
      for (int v = 0; v < P * kParts; ++v) values[c][v] = I::zero();
    }
  }

  /// sums[c][P panels] += one slab of P panels by C rows. `ahead` may be null.
  template <int P, int C>
  [[gnu::always_inline]] static void run(const SlabWeights& w, const SlabWeights* ahead,
                                         const SlabRows& x, float* sums) {
    static_assert(kBlockGroups == 1 || kBlockGroups == kSlabGroups);
    if constexpr (kBlockGroups == 1) {
      run_groups<P, C>(w, ahead, x, sums);
    } else {
      run_slab<P, C>(w, ahead, x, sums);
    }
  }

  /// The slab is one block: the sums are read and written once.
  template <int P, int C>
  [[gnu::always_inline]] static void run_slab(const SlabWeights& w, const SlabWeights* ahead,
                                              const SlabRows& x, float* sums) {
    V block[C][P * kParts];
    set_zero<P, C>(block);
    for (int64_t group = 0; group < w.num_groups; ++group) {
      if (ahead != nullptr) prefetch<P>(*ahead, group);
      add_group<P, C>(w, group, x, block);
    }
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
      const V scale = I::set1(x.row(c).scales[0]);
#pragma GCC unroll 8
      for (int v = 0; v < P * kParts; ++v) {
        float* sum = sums + c * P * kPackedPanel + v * I::kLanes;
        I::store(sum, I::fma(block[c][v], scale, I::load(sum)));
      }
    }
  }

  /// Every group is a block: the sums stay in registers for the slab.
  template <int P, int C>
  [[gnu::always_inline]] static void run_groups(const SlabWeights& w, const SlabWeights* ahead,
                                                const SlabRows& x, float* sums) {
    V total[C][P * kParts];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
#pragma GCC unroll 8
      for (int v = 0; v < P * kParts; ++v) {
        total[c][v] = I::load(sums + c * P * kPackedPanel + v * I::kLanes);
      }
    }
    for (int64_t group = 0; group < w.num_groups; ++group) {
      if (ahead != nullptr) prefetch<P>(*ahead, group);
      V block[C][P * kParts];
      set_zero<P, C>(block);
      add_group<P, C>(w, group, x, block);
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) {
        const V scale = I::set1(x.row(c).scales[group]);
#pragma GCC unroll 8
        for (int v = 0; v < P * kParts; ++v) {
          total[c][v] = I::fma(block[c][v], scale, total[c][v]);
        }
      }
    }
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) {
#pragma GCC unroll 8
      for (int v = 0; v < P * kParts; ++v) {
        I::store(sums + c * P * kPackedPanel + v * I::kLanes, total[c][v]);
      }
    }
  }
};

/// Writes the sums of one row and panel: all of its outputs or the first ones.
template <class I>
void finish_panel(const PackedLinearArgs& args, int64_t row, int64_t output,
                  const float* sums) noexcept {
  const float* bias = args.bias == nullptr ? nullptr : args.bias + output;
  float* out = args.out + row * args.out_stride + output;
  const int64_t left = args.output_end - output;
  if (left >= kPackedPanel) {
    for (int64_t o = 0; o < kPackedPanel; o += I::kLanes) {
      typename I::V v = I::load(sums + o);
      if (bias != nullptr) v = I::add(v, I::load(bias + o));
      I::store(out + o, v);
    }
  } else {
    for (int64_t o = 0; o < left; ++o) out[o] = bias == nullptr ? sums[o] : sums[o] + bias[o];
  }
}

/// The slab of P panels that is read kSlabsAhead slabs after this one; the last slabs of panels are
/// followed by the first of the next.
template <class I, Packed form, int P>
[[gnu::always_inline]] inline SlabWeights slab_ahead(const PackedLinearArgs& args, int64_t panel,
                                                     int64_t slab, int64_t slabs) {
  int64_t ahead = slab + I::kSlabsAhead;
  for (; ahead >= slabs; ahead -= slabs) panel += P;
  return slab_of<form>(args, panel, ahead);
}

}  // namespace
}  // namespace llava::kernels
