// SPDX-License-Identifier: Apache-2.0
//
// Activations as 8-bit codes, for any instruction set `I`.
#pragma once

#include "llava/kernels/packed.h"

namespace llava::kernels {
namespace {

/// One block of activations as codes with one scale, which is returned.
template <class I, int64_t count>
[[gnu::always_inline]] inline float quantize_block(const float* x, int8_t* codes) {
  // As integers, the bits of absolute values are in order, with NaN above infinity.
  typename I::Int most_bits = I::zero_bits();
  for (int64_t i = 0; i < count; i += I::kLanes) most_bits = I::max_abs_bits(most_bits, x + i);
  const float most = __builtin_bit_cast(float, I::reduce_max(most_bits));
  if (!(most < __builtin_inff()) || most < kPackedSmallest) {
    for (int64_t i = 0; i < count; ++i) codes[i] = 0;
    return most < kPackedSmallest ? 0.0f : __builtin_nanf("");
  }
  const typename I::V to_codes = I::set1(127.0f / most);
  for (int64_t i = 0; i < count; i += I::kLanes) {
    I::store_codes(codes + i, I::round_to_int(I::mul(I::load(x + i), to_codes)));
  }
  return most / 127.0f;
}

/// The first `count` sums of codes as `form` has them, and zeros.
template <Packed form>
[[gnu::always_inline]] inline void store_sums(const int32_t* sums, int64_t count,
                                              PackedActivations& record) {
  for (int64_t part = 0; part < 8; ++part) {
    const int32_t sum = part < count ? sums[part] : 0;
    if constexpr (packed_has_minimum(form)) {
      record.sums[part].number = static_cast<float>(sum);
    } else {
      record.sums[part].integer = -packed_zero(form) * sum;
    }
  }
}

template <class I, Packed form>
[[gnu::always_inline]] inline void quantize_slab_blocks(const float* x, PackedActivations& record) {
  constexpr int64_t kBlock = packed_activation_block(form);
  constexpr int64_t kPart = kPackedGroup / packed_scales_per_group(form);
  constexpr int64_t kParts = kPackedSlab / kPart;
  int32_t sums[kParts];
  for (int64_t i = 0; i < 4; ++i) {
    record.scales[i] = i * kBlock < kPackedSlab
                           ? quantize_block<I, kBlock>(x + i * kBlock, record.codes + i * kBlock)
                           : 0.0f;
  }
  for (int64_t part = 0; part < kParts; ++part) {
    sums[part] = I::template sum_codes<kPart>(record.codes + part * kPart);
  }
  store_sums<form>(sums, kParts, record);
}

/// Four blocks at a time where a vector is half a block: what is left of each is put together in
/// one vector. False, with nothing done, if a block is zero or not finite.
template <class I, Packed form>
[[gnu::always_inline]] inline bool quantize_four_blocks(const float* x, PackedActivations& record) {
  static_assert(packed_activation_block(form) == 2 * I::kLanes);
  typename I::Int parts[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    parts[i] = I::max_abs_bits(I::zero_bits(), x + 32 * i);
    parts[i] = I::max_abs_bits(parts[i], x + 32 * i + 16);
  }
  alignas(16) float to_codes[4];
  if (!I::scales_of_blocks(parts, to_codes, record.scales)) return false;
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    parts[i] = I::round_to_int(I::mul(I::load(x + I::kLanes * i), I::set1(to_codes[i / 2])));
    I::store_codes(record.codes + I::kLanes * i, parts[i]);
  }
  int32_t sums[8];
  if constexpr (packed_scales_per_group(form) == 2) {
    I::sum_each(parts, sums);
    I::sum_each(parts + 4, sums + 4);
    store_sums<form>(sums, 8, record);
  } else {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) parts[i] = I::add_ints(parts[2 * i], parts[2 * i + 1]);
    I::sum_each(parts, sums);
    store_sums<form>(sums, 4, record);
  }
  return true;
}

template <class I, Packed form>
[[gnu::always_inline]] inline void quantize_slab(const float* x, PackedActivations& record) {
  for (float& unused : record.unused) unused = 0.0f;
  if constexpr (I::kQuantizesFourBlocks) {
    if (quantize_four_blocks<I, form>(x, record)) return;
  }
  quantize_slab_blocks<I, form>(x, record);
}

template <class I, Packed form>
void quantize_activations(const QuantizeActivationsArgs& args) noexcept {
  for (int64_t row = args.row_begin; row < args.row_end; ++row) {
    const float* x = args.x + row * args.x_stride;
    PackedActivations* record =
        args.out + row * ((args.num_inputs + kPackedSlab - 1) / kPackedSlab);
    for (int64_t begin = 0; begin < args.num_inputs; begin += kPackedSlab) {
      const int64_t left = args.num_inputs - begin;
      if (left >= kPackedSlab) {
        quantize_slab<I, form>(x + begin, *record);
      } else {
        float padded[kPackedSlab];
        for (int64_t i = 0; i < kPackedSlab; ++i) padded[i] = i < left ? x[begin + i] : 0.0f;
        quantize_slab<I, form>(padded, *record);
      }
      ++record;
    }
  }
}

}  // namespace
}  // namespace llava::kernels
