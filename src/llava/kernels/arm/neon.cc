// SPDX-License-Identifier: Apache-2.0
//
// Kernels for NEON as every 64-bit ARM processor has it.
#include <arm_neon.h>

#include "llava/kernels/simd/table.h"
#include "llava/kernels/tables.h"

namespace llava::kernels {
namespace {

/// NEON as the vector type of the kernels in simd/; x86/avx512_vector.h says what each member does.
struct Neon {
  using V = float32x4_t;
  static constexpr int kLanes = 4;
  /// 6 x 4 running vectors of the 32 registers.
  static constexpr int kTileRows = 6;
  static constexpr int kTurnedRows = 6;
  static constexpr int kTurnedVectors = 4;
  static constexpr int kRunningVectors = 24;
  static constexpr int kDirectRows = 6;
  static constexpr bool kHasUnits = false;

#define LLAVA_INLINE [[gnu::always_inline]] static inline
  LLAVA_INLINE V zero() { return vdupq_n_f32(0.0f); }
  LLAVA_INLINE V set1(float x) { return vdupq_n_f32(x); }
  LLAVA_INLINE float first(V v) { return vgetq_lane_f32(v, 0); }

  LLAVA_INLINE V widen(uint16x4_t halves, Float16) {
    return vcvt_f32_f16(vreinterpret_f16_u16(halves));
  }
  LLAVA_INLINE V widen(uint16x4_t halves, BFloat16) {
    return vreinterpretq_f32_u32(vshll_n_u16(halves, 16));
  }
  LLAVA_INLINE uint16x4_t narrow(V v, Float16) { return vreinterpret_u16_f16(vcvt_f16_f32(v)); }
  LLAVA_INLINE uint16x4_t narrow(V v, BFloat16) {
    const uint32x4_t bits = vreinterpretq_u32_f32(v);
    const uint32x4_t upper = vshrq_n_u32(bits, 16);
    const uint32x4_t odd = vandq_u32(upper, vdupq_n_u32(1));
    const uint32x4_t bias = vaddq_u32(odd, vdupq_n_u32(0x7FFF));
    const uint32x4_t rounded = vshrq_n_u32(vaddq_u32(bits, bias), 16);
    const uint32x4_t quiet = vorrq_u32(upper, vdupq_n_u32(0x40));
    return vmovn_u32(vbslq_u32(vceqq_f32(v, v), rounded, quiet));
  }

  LLAVA_INLINE V load(const float* p) { return vld1q_f32(p); }
  LLAVA_INLINE V load_first(const float* p, int64_t n) {
    float lanes_of_p[4] = {};
    for (int64_t i = 0; i < n; ++i) lanes_of_p[i] = p[i];
    return vld1q_f32(lanes_of_p);
  }
  template <class T>
  LLAVA_INLINE V load(const T* p) {
    return widen(vld1_u16(reinterpret_cast<const uint16_t*>(p)), T{});
  }
  template <class T>
  LLAVA_INLINE V load_first(const T* p, int64_t n) {
    uint16_t lanes_of_p[4] = {};
    for (int64_t i = 0; i < n; ++i) lanes_of_p[i] = p[i].bits;
    return widen(vld1_u16(lanes_of_p), T{});
  }
  LLAVA_INLINE V load(const int8_t* p) { return load_first(p, 4); }
  LLAVA_INLINE V load_first(const int8_t* p, int64_t n) {
    int8_t lanes_of_p[8] = {};
    for (int64_t i = 0; i < n; ++i) lanes_of_p[i] = p[i];
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8(lanes_of_p)))));
  }
  LLAVA_INLINE void store(float* p, V v) { vst1q_f32(p, v); }
  LLAVA_INLINE void store_first(float* p, V v, int64_t n) {
    float lanes_of_v[4];
    vst1q_f32(lanes_of_v, v);
    for (int64_t i = 0; i < n; ++i) p[i] = lanes_of_v[i];
  }
  template <class T>
  LLAVA_INLINE void store(T* p, V v) {
    vst1_u16(reinterpret_cast<uint16_t*>(p), narrow(v, T{}));
  }
  template <class T>
  LLAVA_INLINE void store_first(T* p, V v, int64_t n) {
    uint16_t lanes_of_v[4];
    vst1_u16(lanes_of_v, narrow(v, T{}));
    for (int64_t i = 0; i < n; ++i) p[i].bits = lanes_of_v[i];
  }
  LLAVA_INLINE void store(int8_t* p, V v) { store_first(p, v, 4); }
  LLAVA_INLINE void store_first(int8_t* p, V v, int64_t n) {
    int8_t lanes_of_v[8];
    const int16x4_t words = vqmovn_s32(vcvtq_s32_f32(v));
    vst1_s8(lanes_of_v, vqmovn_s16(vcombine_s16(words, words)));
    for (int64_t i = 0; i < n; ++i) p[i] = lanes_of_v[i];
  }

  LLAVA_INLINE V add(V a, V b) { return vaddq_f32(a, b); }
  LLAVA_INLINE V sub(V a, V b) { return vsubq_f32(a, b); }
  LLAVA_INLINE V mul(V a, V b) { return vmulq_f32(a, b); }
  LLAVA_INLINE V div(V a, V b) { return vdivq_f32(a, b); }
  LLAVA_INLINE V fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }
  LLAVA_INLINE V fnma(V a, V b, V c) { return vfmsq_f32(c, a, b); }
  LLAVA_INLINE V max(V a, V b) { return vmaxq_f32(a, b); }
  LLAVA_INLINE V min(V a, V b) { return vminq_f32(a, b); }
  LLAVA_INLINE V abs(V v) { return vabsq_f32(v); }
  LLAVA_INLINE V round_nearest(V v) { return vrndnq_f32(v); }
  LLAVA_INLINE V scale_by_power_of_two(V v, V n) {
    // Two factors, each a normal number; only the second product can round. A NaN stays one.
    const int32x4_t exponent = vcvtq_s32_f32(n);
    const int32x4_t half = vshrq_n_s32(exponent, 1);
    return mul(mul(v, power_of_two(half)), power_of_two(vsubq_s32(exponent, half)));
  }
  LLAVA_INLINE V power_of_two(int32x4_t n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
  }
  LLAVA_INLINE V select_negative(V x, V negative, V other) {
    return vbslq_f32(vcltzq_f32(x), negative, other);
  }
  LLAVA_INLINE V keep_range(V v, V fill, int64_t begin, int64_t end) {
    const int32_t numbers[4] = {0, 1, 2, 3};
    const int32x4_t lane = vld1q_s32(numbers);
    const uint32x4_t from = vcgeq_s32(lane, vdupq_n_s32(static_cast<int32_t>(begin)));
    const uint32x4_t to = vcltq_s32(lane, vdupq_n_s32(static_cast<int32_t>(end)));
    return vbslq_f32(vandq_u32(from, to), v, fill);
  }

  /// Neighbours, then pairs of neighbours.
  LLAVA_INLINE float reduce_add(V v) {
    const V pairs = vpaddq_f32(v, v);
    return vgetq_lane_f32(vpaddq_f32(pairs, pairs), 0);
  }
  LLAVA_INLINE float reduce_max(V v) { return vmaxvq_f32(v); }

  LLAVA_INLINE void transpose(V (&v)[4]) {
    const V low_01 = vzip1q_f32(v[0], v[1]);
    const V high_01 = vzip2q_f32(v[0], v[1]);
    const V low_23 = vzip1q_f32(v[2], v[3]);
    const V high_23 = vzip2q_f32(v[2], v[3]);
    v[0] = vcombine_f32(vget_low_f32(low_01), vget_low_f32(low_23));
    v[1] = vcombine_f32(vget_high_f32(low_01), vget_high_f32(low_23));
    v[2] = vcombine_f32(vget_low_f32(high_01), vget_low_f32(high_23));
    v[3] = vcombine_f32(vget_high_f32(high_01), vget_high_f32(high_23));
  }
#undef LLAVA_INLINE
};

}  // namespace

namespace neon {

const KernelTable& table() noexcept {
  static constexpr KernelTable kTable = make_table<Neon>("neon", kPackedKernels);
  return kTable;
}

}  // namespace neon
}  // namespace llava::kernels
