// SPDX-License-Identifier: Apache-2.0
//
// The kernels of one form of packed matrix for an instruction set.
#pragma once

#include "llava/kernels/simd/packed_linear.h"
#include "llava/kernels/simd/packed_quantize.h"
#include "llava/kernels/tables.h"

namespace llava::kernels {
namespace {

template <class I, Packed form>
constexpr PackedKernels packed_kernels() {
  return {quantize_activations<I, form>, packed_linear<I, form>, scalar::dequantize<form>};
}

}  // namespace
}  // namespace llava::kernels
