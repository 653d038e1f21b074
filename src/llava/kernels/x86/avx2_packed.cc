// SPDX-License-Identifier: Apache-2.0
//
// Kernels of packed matrices for AVX2.
#include "llava/kernels/x86/avx2_packed.h"
#include "llava/kernels/simd/packed_table.h"
#include "llava/kernels/tables.h"
#include "llava/kernels/x86/packed_products.h"

namespace llava::kernels {

namespace avx2 {

const PackedKernels kPackedKernels[kNumPacked] = {
    packed_kernels<SplitProducts<Avx2Packed>, kPackedQ4>(),
    packed_kernels<SplitProducts<Avx2Packed>, kPackedQ4Min>(),
    packed_kernels<SplitProducts<Avx2Packed>, kPackedQ8>(),
    packed_kernels<SplitProducts<Avx2Packed>, kPackedQ8Min>(),
    packed_kernels<SplitProducts<Avx2Packed>, kPackedQ8Half>()};

}  // namespace avx2
}  // namespace llava::kernels
