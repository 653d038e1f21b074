// SPDX-License-Identifier: Apache-2.0
//
// Kernels of packed matrices for every 64-bit ARM processor. The product of two signed codes, at
// most 128 * 127, fits 16 bits; pairs of products are added to an int32.
#include "llava/kernels/arm/neon_packed.h"
#include "llava/kernels/simd/packed_table.h"
#include "llava/kernels/tables.h"

namespace llava::kernels {
namespace {

struct Neon : NeonPacked {
  using Weight = int8x16_t;
  struct Sum {
    int32x4_t low;
    int32x4_t high;
  };
  static constexpr bool kHasSignedCodes = true;

#define LLAVA_INLINE [[gnu::always_inline]] static inline
  template <bool is_4_bit>
  LLAVA_INLINE Weight load_codes(const std::byte* p) {
    return as_signed<is_4_bit>(load_bytes(p));
  }
  LLAVA_INLINE void load_nibbles(const std::byte* p, Weight& low, Weight& high) {
    const uint8x16_t bytes = load_bytes(p);
    low = as_signed<true>(low_nibbles(bytes));
    high = as_signed<true>(high_nibbles(bytes));
  }
  template <bool is_4_bit>
  LLAVA_INLINE Sum start(int32_t) {
    return {vdupq_n_s32(0), vdupq_n_s32(0)};
  }
  template <bool is_4_bit>
  LLAVA_INLINE void accumulate(Sum& sum, Weight w, X x) {
    sum.low = vpadalq_s16(sum.low, vmull_s8(vget_low_s8(w), vget_low_s8(x)));
    sum.high = vpadalq_s16(sum.high, vmull_s8(vget_high_s8(w), vget_high_s8(x)));
  }
  template <bool is_4_bit>
  LLAVA_INLINE Int finish(Sum sum, int32_t first) {
    return vaddq_s32(vpaddq_s32(sum.low, sum.high), vdupq_n_s32(first));
  }
#undef LLAVA_INLINE
};

}  // namespace

namespace neon {

const PackedKernels kPackedKernels[kNumPacked] = {
    packed_kernels<Neon, kPackedQ4>(), packed_kernels<Neon, kPackedQ4Min>(),
    packed_kernels<Neon, kPackedQ8>(), packed_kernels<Neon, kPackedQ8Min>(),
    packed_kernels<Neon, kPackedQ8Half>()};

}  // namespace neon
}  // namespace llava::kernels
