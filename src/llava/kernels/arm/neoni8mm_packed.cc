// SPDX-License-Identifier: Apache-2.0
//
// Kernels of packed matrices for ARM processors with the dot product of unsigned by signed bytes
// (part of I8MM); the other kernels are those of neon.cc.
#include "llava/kernels/arm/neon_packed.h"
#include "llava/kernels/simd/packed_table.h"
#include "llava/kernels/tables.h"

namespace llava::kernels {
namespace {

struct NeonI8mm : NeonPacked {
  using Weight = uint8x16_t;
  using Sum = int32x4_t;
  static constexpr bool kHasSignedCodes = false;

#define LLAVA_INLINE [[gnu::always_inline]] static inline
  template <bool is_4_bit>
  LLAVA_INLINE Weight load_codes(const std::byte* p) {
    return load_bytes(p);
  }
  LLAVA_INLINE void load_nibbles(const std::byte* p, Weight& low, Weight& high) {
    const uint8x16_t bytes = load_bytes(p);
    low = low_nibbles(bytes);
    high = high_nibbles(bytes);
  }
  template <bool is_4_bit>
  LLAVA_INLINE Sum start(int32_t first) {
    return vdupq_n_s32(first);
  }
  template <bool is_4_bit>
  LLAVA_INLINE void accumulate(Sum& sum, Weight w, X x) {
    sum = vusdotq_s32(sum, w, x);
  }
  template <bool is_4_bit>
  LLAVA_INLINE Int finish(Sum sum, int32_t) {
    return sum;
  }
#undef LLAVA_INLINE
};

}  // namespace

namespace neoni8mm {

static constexpr PackedKernels kPackedKernels[kNumPacked] = {
    packed_kernels<NeonI8mm, kPackedQ4>(), packed_kernels<NeonI8mm, kPackedQ4Min>(),
    packed_kernels<NeonI8mm, kPackedQ8>(), packed_kernels<NeonI8mm, kPackedQ8Min>(),
    packed_kernels<NeonI8mm, kPackedQ8Half>()};

const KernelTable& table() noexcept {
  static const KernelTable kTable = [] {
    KernelTable table = neon::table();
    table.name = "neoni8mm";
    table.packed = kPackedKernels;
    return table;
  }();
  return kTable;
}

}  // namespace neoni8mm
}  // namespace llava::kernels
