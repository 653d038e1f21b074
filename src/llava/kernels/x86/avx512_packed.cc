// SPDX-License-Identifier: Apache-2.0
//
// Kernels of packed matrices for AVX-512 without the dot product of bytes.
#include "llava/kernels/x86/avx512_packed.h"
#include "llava/kernels/simd/packed_table.h"
#include "llava/kernels/tables.h"
#include "llava/kernels/x86/packed_products.h"

namespace llava::kernels {

namespace avx512 {

const PackedKernels kPackedKernels[kNumPacked] = {
    packed_kernels<SplitProducts<Avx512Packed>, kPackedQ4>(),
    packed_kernels<SplitProducts<Avx512Packed>, kPackedQ4Min>(),
    packed_kernels<SplitProducts<Avx512Packed>, kPackedQ8>(),
    packed_kernels<SplitProducts<Avx512Packed>, kPackedQ8Min>(),
    packed_kernels<SplitProducts<Avx512Packed>, kPackedQ8Half>()};

}  // namespace avx512
}  // namespace llava::kernels
