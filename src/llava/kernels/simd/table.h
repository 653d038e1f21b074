// SPDX-License-Identifier: Apache-2.0
//
// The kernel table of an instruction set.
#pragma once

#include "llava/kernels/kernel_table.h"
#include "llava/kernels/simd/attention.h"
#include "llava/kernels/simd/elementwise.h"
#include "llava/kernels/simd/gradients.h"
#include "llava/kernels/simd/linear.h"

namespace llava::kernels {
namespace {

template <class I>
constexpr KernelTable make_table(const char* name, const PackedKernels* packed) {
  return {
      name,
      {to_float<I, float>, to_float<I, Float16>, to_float<I, BFloat16>},
      {from_float<I, float>, from_float<I, Float16>, from_float<I, BFloat16>},
      {linear_widened<I, float>, linear_widened<I, Float16>, linear_widened<I, BFloat16>},
      {attention_widened<I, float>, attention_widened<I, Float16>, attention_widened<I, BFloat16>},
      {attention_of_f32<I, float>, attention_of_f32<I, Float16>, attention_of_f32<I, BFloat16>,
       attention_of_f32<I, int8_t>},
      {attention_merge<I, float>, attention_merge<I, Float16>, attention_merge<I, BFloat16>},
      quantize_rows<I>,
      {unary<I, float>, unary<I, Float16>, unary<I, BFloat16>},
      {add_scaled<I, float>, add_scaled<I, Float16>, add_scaled<I, BFloat16>},
      {silu_mul<I, float>, silu_mul<I, Float16>, silu_mul<I, BFloat16>},
      {rms_norm<I, float>, rms_norm<I, Float16>, rms_norm<I, BFloat16>},
      {layer_norm<I, float>, layer_norm<I, Float16>, layer_norm<I, BFloat16>},
      {rope<I, float>, rope<I, Float16>, rope<I, BFloat16>},
      {silu_mul_gradient<I, float>, silu_mul_gradient<I, Float16>, silu_mul_gradient<I, BFloat16>},
      {rms_norm_gradient<I, float>, rms_norm_gradient<I, Float16>, rms_norm_gradient<I, BFloat16>},
      packed};
}

}  // namespace
}  // namespace llava::kernels
