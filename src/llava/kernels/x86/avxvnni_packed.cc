// SPDX-License-Identifier: Apache-2.0
//
// Kernels of packed matrices for AVX2 with the dot product of bytes (AVX-VNNI); the other kernels
// are those of AVX2.
#include "llava/kernels/simd/packed_table.h"
#include "llava/kernels/tables.h"
#include "llava/kernels/x86/avx2_packed.h"
#include "llava/kernels/x86/packed_products.h"

namespace llava::kernels {
namespace {

struct AvxVnni : Avx2Packed {
  [[gnu::always_inline]] static inline Int add_dot_bytes(Int sum, Int w, X x) {
    return _mm256_dpbusd_avx_epi32(sum, w, x);
  }
};

}  // namespace

namespace avxvnni {

static constexpr PackedKernels kPackedKernels[kNumPacked] = {
    packed_kernels<DotProducts<AvxVnni>, kPackedQ4>(),
    packed_kernels<DotProducts<AvxVnni>, kPackedQ4Min>(),
    packed_kernels<DotProducts<AvxVnni>, kPackedQ8>(),
    packed_kernels<DotProducts<AvxVnni>, kPackedQ8Min>(),
    packed_kernels<DotProducts<AvxVnni>, kPackedQ8Half>()};

const KernelTable& table() noexcept {
  static const KernelTable kTable = [] {
    KernelTable table = avx2::table();
    table.name = "avxvnni";
    table.packed = kPackedKernels;
    return table;
  }();
  return kTable;
}

}  // namespace avxvnni
}  // namespace llava::kernels
