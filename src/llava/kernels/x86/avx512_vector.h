// SPDX-License-Identifier: Apache-2.0
//
// AVX-512 (F, BW, DQ, VL) as the vector type of the kernels in simd/. What such a type offers:
// loads of any element format widened to float32, stores rounded to nearest even, partial loads
// (other lanes zero) and stores, arithmetic, and reductions over lanes in a fixed tree. max and min
// return their second operand when one is a NaN.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "llava/kernels/kernel_table.h"

namespace llava::kernels {
namespace {

struct Avx512 {
  using V = __m512;
  static constexpr int kLanes = 16;
  /// Rows of the register tiles: 6 x 4 running vectors of the 32 registers.
  static constexpr int kTileRows = 6;
  /// Rows and vectors of the tiles of many rows by weights.
  static constexpr int kTurnedRows = 6;
  static constexpr int kTurnedVectors = 4;
  /// Running vectors that leave registers for the operands.
  static constexpr int kRunningVectors = 24;
  /// Query rows of attention that read keys where they lie.
  static constexpr int kDirectRows = 8;
  /// Rows of 32-bit units can be turned before their elements are widened.
  static constexpr bool kHasUnits = true;

#define LLAVA_INLINE [[gnu::always_inline]] static inline
  LLAVA_INLINE __mmask16 first_lanes(int64_t n) {
    return static_cast<__mmask16>((1u << static_cast<unsigned>(n)) - 1u);
  }

  LLAVA_INLINE V zero() { return _mm512_setzero_ps(); }
  LLAVA_INLINE V set1(float x) { return _mm512_set1_ps(x); }
  LLAVA_INLINE float first(V v) { return _mm512_cvtss_f32(v); }

  LLAVA_INLINE V widen(__m256i halves, Float16) { return _mm512_cvtph_ps(halves); }
  LLAVA_INLINE V widen(__m256i halves, BFloat16) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
  }
  LLAVA_INLINE __m256i narrow(V v, Float16) {
    return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  LLAVA_INLINE __m256i narrow(V v, BFloat16) {
#ifdef __AVX512BF16__
    // One instruction, with the same results but for subnormal numbers, which it takes as zero.
    constexpr int kSubnormal = 0x20;
    if (_mm512_fpclass_ps_mask(v, kSubnormal) == 0) [[likely]] {
      return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v));
    }
#endif
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    const __m512i rounded = _mm512_mask_or_epi32(_mm512_add_epi32(bits, bias), is_nan, bits,
                                                 _mm512_set1_epi32(0x00400000));
    // The upper half of each lane.
    const __m512i upper =
        _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0x001F001D, 0x001B0019, 0x00170015, 0x00130011,
                         0x000F000D, 0x000B0009, 0x00070005, 0x00030001);
    return _mm512_castsi512_si256(_mm512_permutexvar_epi16(upper, rounded));
  }

  LLAVA_INLINE V load(const float* p) { return _mm512_loadu_ps(p); }
  LLAVA_INLINE V load_first(const float* p, int64_t n) {
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
  }
  template <class T>
  LLAVA_INLINE V load(const T* p) {
    return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), T{});
  }
  template <class T>
  LLAVA_INLINE V load_first(const T* p, int64_t n) {
    return widen(_mm256_maskz_loadu_epi16(first_lanes(n), p), T{});
  }
  LLAVA_INLINE V load(const int8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
  }
  LLAVA_INLINE V load_first(const int8_t* p, int64_t n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p)));
  }
  /// 64 bytes as they are.
  LLAVA_INLINE V load_units(const void* p) { return _mm512_loadu_ps(p); }
  /// The first n elements of T, fewer than 64 bytes, and zeros.
  template <class T>
  LLAVA_INLINE V load_units_first(const T* p, int64_t n) {
    const uint64_t bytes = static_cast<uint64_t>(n) * sizeof(T);
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi8((uint64_t{1} << bytes) - 1, p));
  }
  /// Element `k` of each unit, widened.
  LLAVA_INLINE V unit_part(V units, int k, Float16) {
    const __m512i bits = _mm512_castps_si512(units);
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(k == 0 ? bits : _mm512_srli_epi32(bits, 16)));
  }
  LLAVA_INLINE V unit_part(V units, int k, BFloat16) {
    const __m512i bits = _mm512_castps_si512(units);
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
    return _mm512_castsi512_ps(k == 0 ? _mm512_slli_epi32(bits, 16)
                                      : _mm512_and_si512(bits, upper));
  }
  LLAVA_INLINE V unit_part(V units, int k, int8_t) {
    const __m512i bits = _mm512_castps_si512(units);
    const auto rest = static_cast<unsigned>(24 - 8 * k);
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(bits, rest), 24));
  }

  LLAVA_INLINE void store(float* p, V v) { _mm512_storeu_ps(p, v); }
  LLAVA_INLINE void store_first(float* p, V v, int64_t n) {
    _mm512_mask_storeu_ps(p, first_lanes(n), v);
  }
  template <class T>
  LLAVA_INLINE void store(T* p, V v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(v, T{}));
  }
  template <class T>
  LLAVA_INLINE void store_first(T* p, V v, int64_t n) {
    _mm256_mask_storeu_epi16(p, first_lanes(n), narrow(v, T{}));
  }
  /// Integral values of a byte's range.
  LLAVA_INLINE void store(int8_t* p, V v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
  }
  LLAVA_INLINE void store_first(int8_t* p, V v, int64_t n) {
    _mm_mask_storeu_epi8(p, first_lanes(n), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
  }

  LLAVA_INLINE V add(V a, V b) { return _mm512_add_ps(a, b); }
  LLAVA_INLINE V sub(V a, V b) { return _mm512_sub_ps(a, b); }
  LLAVA_INLINE V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  LLAVA_INLINE V div(V a, V b) { return _mm512_div_ps(a, b); }
  /// a * b + c
  LLAVA_INLINE V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  /// c - a * b
  LLAVA_INLINE V fnma(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }
  LLAVA_INLINE V max(V a, V b) { return _mm512_max_ps(a, b); }
  LLAVA_INLINE V min(V a, V b) { return _mm512_min_ps(a, b); }
  LLAVA_INLINE V abs(V v) { return _mm512_abs_ps(v); }
  LLAVA_INLINE V round_nearest(V v) {
    return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  /// v * 2^n for integral n.
  LLAVA_INLINE V scale_by_power_of_two(V v, V n) { return _mm512_scalef_ps(v, n); }
  /// Lanes of `negative` where x < 0, else of `other`.
  LLAVA_INLINE V select_negative(V x, V negative, V other) {
    return _mm512_mask_mov_ps(other, _mm512_cmp_ps_mask(x, zero(), _CMP_LT_OQ), negative);
  }
  /// Lanes [begin, end) of v, the others of `fill`; the bounds may lie outside the vector.
  LLAVA_INLINE V keep_range(V v, V fill, int64_t begin, int64_t end) {
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __mmask16 from =
        _mm512_cmpge_epi32_mask(lane, _mm512_set1_epi32(static_cast<int>(begin)));
    const __mmask16 keep =
        _mm512_mask_cmplt_epi32_mask(from, lane, _mm512_set1_epi32(static_cast<int>(end)));
    return _mm512_mask_mov_ps(fill, keep, v);
  }

  /// Halves, then quarters, then neighbours, then pairs of neighbours.
  LLAVA_INLINE float reduce_add(V v) {
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    sum = _mm_add_ps(sum, _mm_permute_ps(sum, 0xB1));
    sum = _mm_add_ps(sum, _mm_permute_ps(sum, 0x4E));
    return _mm_cvtss_f32(sum);
  }
  LLAVA_INLINE float reduce_max(V v) { return _mm512_reduce_max_ps(v); }

  /// The 16 x 16 matrix of v's rows, transposed in place.
  LLAVA_INLINE void transpose(V (&v)[16]) {
    V t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
      t[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
      v[i] = pairs_low(t[i], t[i + 2]);
      v[i + 1] = pairs_high(t[i], t[i + 2]);
      v[i + 2] = pairs_low(t[i + 1], t[i + 3]);
      v[i + 3] = pairs_high(t[i + 1], t[i + 3]);
    }
    // v[4 g + c] holds, in quarter q, column 4 q + c of rows 4 g .. 4 g + 3.
#pragma GCC unroll 4
    for (int c = 0; c < 4; ++c) {
      const V low_01 = _mm512_shuffle_f32x4(v[c], v[4 + c], 0x44);
      const V high_01 = _mm512_shuffle_f32x4(v[c], v[4 + c], 0xEE);
      const V low_23 = _mm512_shuffle_f32x4(v[8 + c], v[12 + c], 0x44);
      const V high_23 = _mm512_shuffle_f32x4(v[8 + c], v[12 + c], 0xEE);
      t[c] = _mm512_shuffle_f32x4(low_01, low_23, 0x88);
      t[4 + c] = _mm512_shuffle_f32x4(low_01, low_23, 0xDD);
      t[8 + c] = _mm512_shuffle_f32x4(high_01, high_23, 0x88);
      t[12 + c] = _mm512_shuffle_f32x4(high_01, high_23, 0xDD);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) v[i] = t[i];
  }
  LLAVA_INLINE V pairs_low(V a, V b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  }
  LLAVA_INLINE V pairs_high(V a, V b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  }
#undef LLAVA_INLINE
};

}  // namespace
}  // namespace llava::kernels
