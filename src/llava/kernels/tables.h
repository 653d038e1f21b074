// SPDX-License-Identifier: Apache-2.0
//
// The entry points of the instruction sets' files. Only dispatch.cc calls the vector ones: they run
// only on processors that have the instructions.
#pragma once

#include "llava/kernels/kernel_table.h"

namespace llava::kernels {

namespace scalar {
const KernelTable& table() noexcept;
extern const PackedKernels kPackedKernels[kNumPacked];
/// Rows of a packed matrix, for every table: what it costs is reading the weights.
template <Packed form>
void dequantize(const PackedDequantizeArgs& args) noexcept;
}  // namespace scalar
namespace avx2 {
const KernelTable& table() noexcept;
extern const PackedKernels kPackedKernels[kNumPacked];
}  // namespace avx2
namespace avxvnni {
const KernelTable& table() noexcept;
}
namespace avx512 {
const KernelTable& table() noexcept;
extern const PackedKernels kPackedKernels[kNumPacked];
}  // namespace avx512
namespace avx512vnni {
const KernelTable& table() noexcept;
extern const PackedKernels kPackedKernels[kNumPacked];
}  // namespace avx512vnni
namespace avx512bf16 {
const KernelTable& table() noexcept;
}
namespace neon {
const KernelTable& table() noexcept;
extern const PackedKernels kPackedKernels[kNumPacked];
}  // namespace neon
namespace neondot {
const KernelTable& table() noexcept;
}
namespace neoni8mm {
const KernelTable& table() noexcept;
}

}  // namespace llava::kernels
