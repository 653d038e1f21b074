// SPDX-License-Identifier: Apache-2.0
//
// Kernels for AVX-512 F, BW, DQ and VL.
#include "llava/kernels/simd/table.h"
#include "llava/kernels/tables.h"
#include "llava/kernels/x86/avx512_vector.h"

namespace llava::kernels::avx512 {

const KernelTable& table() noexcept {
  static constexpr KernelTable kTable = make_table<Avx512>("avx512", kPackedKernels);
  return kTable;
}

}  // namespace llava::kernels::avx512
