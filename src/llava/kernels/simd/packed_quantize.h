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

template <class I, Packed form>
[[gnu::always_inline]] inline void quantize_slab(const float* x, PackedActivations& record) {
  constexpr int64_t kBlock = packed_activation_block(form);
  constexpr int64_t kPart = kPackedGroup / packed_scales_per_group(form);
  constexpr int64_t kParts = kPackedSlab / kPart;
  for (int64_t i = 0; i < 4; ++i) {
    record.scales[i] = i * kBlock < kPackedSlab
                           ? quantize_block<I, kBlock>(x + i * kBlock, record.codes + i * kBlock)
                           : 0.0f;
    record.unused[i] = 0.0f;
  }
  for (int64_t part = 0; part < 8; ++part) {
    const int32_t sum =
        part < kParts ? I::template sum_codes<kPart>(record.codes + part * kPart) : 0;
    if constexpr (packed_has_minimum(form)) {
      record.sums[part].number = static_cast<float>(sum);
    } else {
      record.sums[part].integer = -packed_zero(form) * sum;
    }
  }
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
