// SPDX-License-Identifier: Apache-2.0
//
// Kernels for AVX2 with FMA and F16C.
#include <immintrin.h>

#include "llava/kernels/simd/table.h"
#include "llava/kernels/tables.h"

namespace llava::kernels {
namespace {

/// AVX2 as the vector type of the kernels in simd/; x86/avx512_vector.h says what each member does.
struct Avx2 {
  using V = __m256;
  static constexpr int kLanes = 8;
  /// 3 x 4 running vectors of the 16 registers; 6 x 2 read less for each product.
  static constexpr int kTileRows = 3;
  static constexpr int kTurnedRows = 6;
  static constexpr int kTurnedVectors = 2;
  static constexpr int kRunningVectors = 12;
  static constexpr int kDirectRows = 3;
  static constexpr bool kHasUnits = false;

#define LLAVA_INLINE [[gnu::always_inline]] static inline
  LLAVA_INLINE __m256i lanes() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
  LLAVA_INLINE __m256i first_lanes(int64_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lanes());
  }

  LLAVA_INLINE V zero() { return _mm256_setzero_ps(); }
  LLAVA_INLINE V set1(float x) { return _mm256_set1_ps(x); }
  LLAVA_INLINE float first(V v) { return _mm256_cvtss_f32(v); }

  LLAVA_INLINE V widen(__m128i halves, Float16) { return _mm256_cvtph_ps(halves); }
  LLAVA_INLINE V widen(__m128i halves, BFloat16) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
  }
  LLAVA_INLINE __m128i narrow(V v, Float16) {
    return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  LLAVA_INLINE __m128i narrow(V v, BFloat16) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i upper = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    const __m256i bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF));
    const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, bias), 16);
    const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    const __m256i words = _mm256_blendv_epi8(rounded, quiet, is_nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  }

  LLAVA_INLINE V load(const float* p) { return _mm256_loadu_ps(p); }
  LLAVA_INLINE V load_first(const float* p, int64_t n) {
    return _mm256_maskload_ps(p, first_lanes(n));
  }
  template <class T>
  LLAVA_INLINE V load(const T* p) {
    return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), T{});
  }
  template <class T>
  LLAVA_INLINE V load_first(const T* p, int64_t n) {
    alignas(16) T lanes_of_p[8] = {};
    for (int64_t i = 0; i < n; ++i) lanes_of_p[i] = p[i];
    return widen(_mm_load_si128(reinterpret_cast<const __m128i*>(lanes_of_p)), T{});
  }
  LLAVA_INLINE V load(const int8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
  }
  LLAVA_INLINE V load_first(const int8_t* p, int64_t n) {
    alignas(8) int8_t lanes_of_p[8] = {};
    for (int64_t i = 0; i < n; ++i) lanes_of_p[i] = p[i];
    return load(lanes_of_p);
  }
  LLAVA_INLINE void store(float* p, V v) { _mm256_storeu_ps(p, v); }
  LLAVA_INLINE void store_first(float* p, V v, int64_t n) {
    _mm256_maskstore_ps(p, first_lanes(n), v);
  }
  template <class T>
  LLAVA_INLINE void store(T* p, V v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(v, T{}));
  }
  template <class T>
  LLAVA_INLINE void store_first(T* p, V v, int64_t n) {
    alignas(16) T lanes_of_v[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(lanes_of_v), narrow(v, T{}));
    for (int64_t i = 0; i < n; ++i) p[i] = lanes_of_v[i];
  }
  LLAVA_INLINE void store(int8_t* p, V v) {
    const __m256i words = _mm256_cvtps_epi32(v);
    const __m128i halves =
        _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(halves, halves));
  }
  LLAVA_INLINE void store_first(int8_t* p, V v, int64_t n) {
    alignas(8) int8_t lanes_of_v[8];
    store(lanes_of_v, v);
    for (int64_t i = 0; i < n; ++i) p[i] = lanes_of_v[i];
  }

  LLAVA_INLINE V add(V a, V b) { return _mm256_add_ps(a, b); }
  LLAVA_INLINE V sub(V a, V b) { return _mm256_sub_ps(a, b); }
  LLAVA_INLINE V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  LLAVA_INLINE V div(V a, V b) { return _mm256_div_ps(a, b); }
  LLAVA_INLINE V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  LLAVA_INLINE V fnma(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }
  LLAVA_INLINE V max(V a, V b) { return _mm256_max_ps(a, b); }
  LLAVA_INLINE V min(V a, V b) { return _mm256_min_ps(a, b); }
  LLAVA_INLINE V abs(V v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }
  LLAVA_INLINE V round_nearest(V v) {
    return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  LLAVA_INLINE V scale_by_power_of_two(V v, V n) {
    // Two factors, each a normal number; only the second product can round. A NaN stays one.
    const __m256i exponent = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(exponent, 1);
    return mul(mul(v, power_of_two(half)), power_of_two(_mm256_sub_epi32(exponent, half)));
  }
  LLAVA_INLINE V power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
  LLAVA_INLINE V select_negative(V x, V negative, V other) {
    return _mm256_blendv_ps(other, negative, _mm256_cmp_ps(x, zero(), _CMP_LT_OQ));
  }
  LLAVA_INLINE V keep_range(V v, V fill, int64_t begin, int64_t end) {
    const __m256i before = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(begin)), lanes());
    const __m256i inside = _mm256_andnot_si256(before, first_lanes(end));
    return _mm256_blendv_ps(fill, v, _mm256_castsi256_ps(inside));
  }

  /// Halves, then neighbours, then pairs of neighbours.
  LLAVA_INLINE float reduce_add(V v) {
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    sum = _mm_add_ps(sum, _mm_permute_ps(sum, 0xB1));
    sum = _mm_add_ps(sum, _mm_permute_ps(sum, 0x4E));
    return _mm_cvtss_f32(sum);
  }
  LLAVA_INLINE float reduce_max(V v) {
    __m128 most = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    most = _mm_max_ps(most, _mm_permute_ps(most, 0xB1));
    most = _mm_max_ps(most, _mm_permute_ps(most, 0x4E));
    return _mm_cvtss_f32(most);
  }

  LLAVA_INLINE void transpose(V (&v)[8]) {
    V t[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
      t[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
      v[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
      v[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
      v[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      v[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      t[i] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x20);
      t[i + 4] = _mm256_permute2f128_ps(v[i], v[i + 4], 0x31);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) v[i] = t[i];
  }
#undef LLAVA_INLINE
};

}  // namespace

namespace avx2 {

const KernelTable& table() noexcept {
  static constexpr KernelTable kTable = make_table<Avx2>("avx2", kPackedKernels);
  return kTable;
}

}  // namespace avx2
}  // namespace llava::kernels
