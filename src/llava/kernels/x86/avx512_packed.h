// SPDX-License-Identifier: Apache-2.0
//
// AVX-512 as the base of an instruction set of the packed matrices' kernels (simd/packed_tile.h
// says what that offers): one vector is a panel.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "llava/kernels/packed.h"

namespace llava::kernels {
namespace {

struct Avx512Packed {
  using V = __m512;
  using Int = __m512i;
  using X = __m512i;
  static constexpr int kLanes = 16;
  /// Tiles of 2 panels by 6 rows keep two sums each in the 32 registers; while the weights stream
  /// in, 8 rows with some of the sums in memory are better than two turns.
  static constexpr int kPanels = 2;
  static constexpr int kDirectRows = 8;
  static constexpr int kTileRows = 6;
  static constexpr int kSlabsAhead = 6;
  static constexpr bool kPreparesWeights = false;
  static constexpr bool kHasSignedCodes = false;
  static constexpr bool kQuantizesFourBlocks = true;

#define LLAVA_INLINE [[gnu::always_inline]] static inline
  LLAVA_INLINE V zero() { return _mm512_setzero_ps(); }
  LLAVA_INLINE V set1(float x) { return _mm512_set1_ps(x); }
  LLAVA_INLINE V add(V a, V b) { return _mm512_add_ps(a, b); }
  LLAVA_INLINE V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  LLAVA_INLINE V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  LLAVA_INLINE V load(const float* p) { return _mm512_loadu_ps(p); }
  LLAVA_INLINE void store(float* p, V v) { _mm512_storeu_ps(p, v); }
  LLAVA_INLINE V load_halves(const std::byte* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  LLAVA_INLINE V to_float(Int v) { return _mm512_cvtepi32_ps(v); }
  LLAVA_INLINE X four_codes(const int8_t* p) {
    int32_t codes;
    __builtin_memcpy(&codes, p, sizeof codes);
    return _mm512_set1_epi32(codes);
  }

  LLAVA_INLINE Int set1_int(int32_t x) { return _mm512_set1_epi32(x); }
  LLAVA_INLINE Int add_ints(Int a, Int b) { return _mm512_add_epi32(a, b); }
  LLAVA_INLINE Int add_words(Int a, Int b) { return _mm512_add_epi16(a, b); }
  LLAVA_INLINE Int multiply_bytes(Int w, X x) { return _mm512_maddubs_epi16(w, x); }
  LLAVA_INLINE Int add_pairs(Int words, int16_t factor) {
    return _mm512_madd_epi16(words, _mm512_set1_epi16(factor));
  }
  LLAVA_INLINE __m512i load_bytes(const std::byte* p) { return _mm512_load_si512(p); }
  LLAVA_INLINE __m512i low_nibbles(__m512i bytes) {
    return _mm512_and_si512(bytes, _mm512_set1_epi8(15));
  }
  LLAVA_INLINE __m512i high_nibbles(__m512i bytes) {
    return _mm512_and_si512(_mm512_srli_epi16(bytes, 4), _mm512_set1_epi8(15));
  }

  LLAVA_INLINE Int zero_bits() { return _mm512_setzero_si512(); }
  LLAVA_INLINE Int max_abs_bits(Int most, const float* p) {
    const __m512i bits = _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi32(0x7FFFFFFF));
    return _mm512_max_epi32(most, bits);
  }
  LLAVA_INLINE int32_t reduce_max(Int v) { return _mm512_reduce_max_epi32(v); }
  LLAVA_INLINE Int round_to_int(V v) { return _mm512_cvtps_epi32(v); }
  LLAVA_INLINE void store_codes(int8_t* p, Int v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v));
  }
  template <int64_t count>
  LLAVA_INLINE int32_t sum_codes(const int8_t* p) {
    __m512i sum = _mm512_setzero_si512();
    for (int64_t i = 0; i < count; i += 16) {
      const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i));
      sum = _mm512_add_epi32(sum, _mm512_cvtepi8_epi32(codes));
    }
    return _mm512_reduce_add_epi32(sum);
  }

  /// Four numbers of which the i-th is vector i's lanes put together by `combine`, in any order.
  template <class Combine>
  LLAVA_INLINE __m128i reduce_each(const Int* v, Combine combine) {
    const __m512i v01 =
        combine(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    const __m512i v23 =
        combine(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    const __m512i quarters =
        combine(_mm512_unpacklo_epi64(v01, v23), _mm512_unpackhi_epi64(v01, v23));
    const __m512i halves = combine(quarters, _mm512_shuffle_i64x2(quarters, quarters, 0x4E));
    return _mm512_castsi512_si128(combine(halves, _mm512_shuffle_i64x2(halves, halves, 0xB1)));
  }
  LLAVA_INLINE void sum_each(const Int* v, int32_t* sums) {
    const auto add = [](__m512i a, __m512i b) { return _mm512_add_epi32(a, b); };
    _mm_storeu_si128(reinterpret_cast<__m128i*>(sums), reduce_each(v, add));
  }
  /// From the bits of four blocks' absolute values: 127 / the largest, and the largest / 127. False
  /// if one of the largest is below kPackedSmallest or not finite.
  LLAVA_INLINE bool scales_of_blocks(const Int* bits, float* to_codes, float* scales) {
    const auto max = [](__m512i a, __m512i b) { return _mm512_max_epi32(a, b); };
    const __m128 most = _mm_castsi128_ps(reduce_each(bits, max));
    const __mmask8 is_small = _mm_cmp_ps_mask(most, _mm_set1_ps(kPackedSmallest), _CMP_NGE_UQ);
    const __mmask8 is_endless = _mm_cmp_ps_mask(most, _mm_set1_ps(__builtin_inff()), _CMP_NLT_UQ);
    if ((is_small | is_endless) != 0) return false;
    _mm_storeu_ps(to_codes, _mm_div_ps(_mm_set1_ps(127.0f), most));
    _mm_storeu_ps(scales, _mm_div_ps(most, _mm_set1_ps(127.0f)));
    return true;
  }

  /// Into the second-level cache only: requests that wait for memory would take the few places of
  /// the first level's, and loads would wait for them (bench/results/decode.md).
  LLAVA_INLINE void prefetch(const std::byte* p) {
    _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1);
  }
#undef LLAVA_INLINE
};

}  // namespace
}  // namespace llava::kernels
