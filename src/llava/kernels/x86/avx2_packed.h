// SPDX-License-Identifier: Apache-2.0
//
// AVX2 with FMA and F16C as the base of an instruction set of the packed matrices' kernels
// (simd/packed_tile.h says what that offers): two vectors are a panel.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "llava/kernels/packed.h"

namespace llava::kernels {
namespace {

struct Avx2Packed {
  using V = __m256;
  using Int = __m256i;
  using X = __m256i;
  static constexpr int kLanes = 8;
  /// One panel by 3 rows: two sums each fill 12 of the 16 registers.
  static constexpr int kPanels = 1;
  static constexpr int kDirectRows = 3;
  static constexpr int kTileRows = 3;
  static constexpr int kSlabsAhead = 6;
  static constexpr bool kPreparesWeights = true;
  static constexpr bool kHasSignedCodes = false;
  static constexpr bool kQuantizesFourBlocks = false;

#define LLAVA_INLINE [[gnu::always_inline]] static inline
  LLAVA_INLINE V zero() { return _mm256_setzero_ps(); }
  LLAVA_INLINE V set1(float x) { return _mm256_set1_ps(x); }
  LLAVA_INLINE V add(V a, V b) { return _mm256_add_ps(a, b); }
  LLAVA_INLINE V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  LLAVA_INLINE V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  LLAVA_INLINE V load(const float* p) { return _mm256_loadu_ps(p); }
  LLAVA_INLINE void store(float* p, V v) { _mm256_storeu_ps(p, v); }
  LLAVA_INLINE V load_halves(const std::byte* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  LLAVA_INLINE V to_float(Int v) { return _mm256_cvtepi32_ps(v); }
  LLAVA_INLINE X four_codes(const int8_t* p) {
    int32_t codes;
    __builtin_memcpy(&codes, p, sizeof codes);
    return _mm256_set1_epi32(codes);
  }

  LLAVA_INLINE Int set1_int(int32_t x) { return _mm256_set1_epi32(x); }
  LLAVA_INLINE Int add_ints(Int a, Int b) { return _mm256_add_epi32(a, b); }
  LLAVA_INLINE Int add_words(Int a, Int b) { return _mm256_add_epi16(a, b); }
  LLAVA_INLINE Int multiply_bytes(Int w, X x) { return _mm256_maddubs_epi16(w, x); }
  LLAVA_INLINE Int add_pairs(Int words, int16_t factor) {
    return _mm256_madd_epi16(words, _mm256_set1_epi16(factor));
  }
  LLAVA_INLINE Int load_bytes(const std::byte* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }
  LLAVA_INLINE Int low_nibbles(Int bytes) { return _mm256_and_si256(bytes, _mm256_set1_epi8(15)); }
  LLAVA_INLINE Int high_nibbles(Int bytes) {
    return _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
  }
  LLAVA_INLINE void unpack_nibbles(const std::byte* p, std::byte* low, std::byte* high) {
    const __m256i bytes = load_bytes(p);
    _mm256_store_si256(reinterpret_cast<__m256i*>(low), low_nibbles(bytes));
    _mm256_store_si256(reinterpret_cast<__m256i*>(high), high_nibbles(bytes));
  }

  LLAVA_INLINE Int zero_bits() { return _mm256_setzero_si256(); }
  LLAVA_INLINE Int max_abs_bits(Int most, const float* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm256_max_epi32(most, _mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF)));
  }
  LLAVA_INLINE int32_t reduce_max(Int v) {
    __m128i most = _mm_max_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0x4E));
    most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0xB1));
    return _mm_cvtsi128_si32(most);
  }
  LLAVA_INLINE Int round_to_int(V v) { return _mm256_cvtps_epi32(v); }
  LLAVA_INLINE void store_codes(int8_t* p, Int v) {
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
  }
  template <int64_t count>
  LLAVA_INLINE int32_t sum_codes(const int8_t* p) {
    __m256i sum = _mm256_setzero_si256();
    for (int64_t i = 0; i < count; i += 16) {
      const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i));
      sum = _mm256_add_epi32(sum, add_pairs(_mm256_cvtepi8_epi16(codes), 1));
    }
    __m128i total = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0x4E));
    total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0xB1));
    return _mm_cvtsi128_si32(total);
  }

  LLAVA_INLINE void prefetch(const std::byte* p) {
    _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1);
  }
#undef LLAVA_INLINE
};

}  // namespace
}  // namespace llava::kernels
