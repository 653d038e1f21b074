// SPDX-License-Identifier: Apache-2.0
//
// Kernels of packed matrices for AVX-512 with the dot product of bytes (VNNI): four unsigned codes
// of a weight by four signed ones of an activation, added to an int32 without saturation.
#include "llava/kernels/simd/packed_table.h"
#include "llava/kernels/tables.h"
#include "llava/kernels/x86/avx512_packed.h"

namespace llava::kernels {
namespace {

struct Avx512Vnni : Avx512Packed {
  using Weight = __m512i;
  using Sum = __m512i;

#define LLAVA_INLINE [[gnu::always_inline]] static inline
  template <bool is_4_bit>
  LLAVA_INLINE Weight load_codes(const std::byte* p) {
    return load_bytes(p);
  }
  LLAVA_INLINE void load_nibbles(const std::byte* p, Weight& low, Weight& high) {
    const __m512i bytes = load_bytes(p);
    low = low_nibbles(bytes);
    high = high_nibbles(bytes);
  }
  template <bool is_4_bit>
  LLAVA_INLINE Sum start(int32_t first) {
    return _mm512_set1_epi32(first);
  }
  template <bool is_4_bit>
  LLAVA_INLINE void accumulate(Sum& sum, Weight w, X x) {
    sum = _mm512_dpbusd_epi32(sum, w, x);
  }
  template <bool is_4_bit>
  LLAVA_INLINE Int finish(Sum sum, int32_t) {
    return sum;
  }
#undef LLAVA_INLINE
};

}  // namespace

namespace avx512vnni {

const PackedKernels kPackedKernels[kNumPacked] = {
    packed_kernels<Avx512Vnni, kPackedQ4>(), packed_kernels<Avx512Vnni, kPackedQ4Min>(),
    packed_kernels<Avx512Vnni, kPackedQ8>(), packed_kernels<Avx512Vnni, kPackedQ8Min>(),
    packed_kernels<Avx512Vnni, kPackedQ8Half>()};

const KernelTable& table() noexcept {
  static const KernelTable kTable = [] {
    KernelTable table = avx512::table();
    table.name = "avx512vnni";
    table.packed = kPackedKernels;
    return table;
  }();
  return kTable;
}

}  // namespace avx512vnni
}  // namespace llava::kernels
