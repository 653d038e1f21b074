// SPDX-License-Identifier: Apache-2.0
//
// Kernels of packed matrices for AVX-512 with the dot product of bytes (VNNI); the other kernels
// are those of AVX-512.
#include "llava/kernels/simd/packed_table.h"
#include "llava/kernels/tables.h"
#include "llava/kernels/x86/avx512_packed.h"
#include "llava/kernels/x86/packed_products.h"

namespace llava::kernels {
namespace {

struct Avx512Vnni : Avx512Packed {
  [[gnu::always_inline]] static inline Int add_dot_bytes(Int sum, Int w, X x) {
    return _mm512_dpbusd_epi32(sum, w, x);
  }
};

}  // namespace

namespace avx512vnni {

const PackedKernels kPackedKernels[kNumPacked] = {
    packed_kernels<DotProducts<Avx512Vnni>, kPackedQ4>(),
    packed_kernels<DotProducts<Avx512Vnni>, kPackedQ4Min>(),
    packed_kernels<DotProducts<Avx512Vnni>, kPackedQ8>(),
    packed_kernels<DotProducts<Avx512Vnni>, kPackedQ8Min>(),
    packed_kernels<DotProducts<Avx512Vnni>, kPackedQ8Half>()};

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
