// SPDX-License-Identifier: Apache-2.0
//
// 64-bit ARM as the base of an instruction set of the packed matrices' kernels
// (simd/packed_tile.h says what that offers): four vectors are a panel.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#include "llava/kernels/packed.h"

namespace llava::kernels {
namespace {

struct NeonPacked {
  using V = float32x4_t;
  using Int = int32x4_t;
  using X = int8x16_t;
  static constexpr int kLanes = 4;
  /// One panel by 3 rows: two sums each fill 24 of the 32 registers.
  static constexpr int kPanels = 1;
  static constexpr int kDirectRows = 3;
  static constexpr int kTileRows = 3;
  static constexpr int kSlabsAhead = 3;
  static constexpr bool kPreparesWeights = true;
  static constexpr bool kQuantizesFourBlocks = false;

#define LLAVA_INLINE [[gnu::always_inline]] static inline
  LLAVA_INLINE V zero() { return vdupq_n_f32(0.0f); }
  LLAVA_INLINE V set1(float x) { return vdupq_n_f32(x); }
  LLAVA_INLINE V add(V a, V b) { return vaddq_f32(a, b); }
  LLAVA_INLINE V mul(V a, V b) { return vmulq_f32(a, b); }
  LLAVA_INLINE V fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
  LLAVA_INLINE V load(const float* p) { return vld1q_f32(p); }
  LLAVA_INLINE void store(float* p, V v) { vst1q_f32(p, v); }
  LLAVA_INLINE V load_halves(const std::byte* p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const uint16_t*>(p))));
  }
  LLAVA_INLINE V to_float(Int v) { return vcvtq_f32_s32(v); }
  LLAVA_INLINE X four_codes(const int8_t* p) {
    int32_t codes;
    __builtin_memcpy(&codes, p, sizeof codes);
    return vreinterpretq_s8_s32(vdupq_n_s32(codes));
  }

  LLAVA_INLINE uint8x16_t load_bytes(const std::byte* p) {
    return vld1q_u8(reinterpret_cast<const uint8_t*>(p));
  }
  LLAVA_INLINE uint8x16_t low_nibbles(uint8x16_t bytes) { return vandq_u8(bytes, vdupq_n_u8(15)); }
  LLAVA_INLINE uint8x16_t high_nibbles(uint8x16_t bytes) { return vshrq_n_u8(bytes, 4); }
  LLAVA_INLINE void unpack_nibbles(const std::byte* p, std::byte* low, std::byte* high) {
    const uint8x16_t bytes = load_bytes(p);
    vst1q_u8(reinterpret_cast<uint8_t*>(low), low_nibbles(bytes));
    vst1q_u8(reinterpret_cast<uint8_t*>(high), high_nibbles(bytes));
  }
  /// Codes of 8 bits less 128; codes of 4 bits as they are.
  template <bool is_4_bit>
  LLAVA_INLINE int8x16_t as_signed(uint8x16_t codes) {
    return vreinterpretq_s8_u8(is_4_bit ? codes : veorq_u8(codes, vdupq_n_u8(128)));
  }

  LLAVA_INLINE Int zero_bits() { return vdupq_n_s32(0); }
  LLAVA_INLINE Int max_abs_bits(Int most, const float* p) {
    return vmaxq_s32(most, vandq_s32(vreinterpretq_s32_f32(vld1q_f32(p)), vdupq_n_s32(0x7FFFFFFF)));
  }
  LLAVA_INLINE int32_t reduce_max(Int v) { return vmaxvq_s32(v); }
  LLAVA_INLINE Int round_to_int(V v) { return vcvtnq_s32_f32(v); }
  LLAVA_INLINE void store_codes(int8_t* p, Int v) {
    const int16x4_t words = vmovn_s32(v);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    const int32_t codes = vget_lane_s32(vreinterpret_s32_s8(bytes), 0);
    __builtin_memcpy(p, &codes, sizeof codes);
  }
  template <int64_t count>
  LLAVA_INLINE int32_t sum_codes(const int8_t* p) {
    int32_t sum = 0;
    for (int64_t i = 0; i < count; i += 16) sum += vaddlvq_s8(vld1q_s8(p + i));
    return sum;
  }

  LLAVA_INLINE void prefetch(const std::byte* p) { __builtin_prefetch(p); }
#undef LLAVA_INLINE
};

}  // namespace
}  // namespace llava::kernels
