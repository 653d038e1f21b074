// SPDX-License-Identifier: Apache-2.0
//
// The table of compute kernels: pointers and sizes only, no tensors and no errors; callers
// validate. Every instruction set fills one table (dispatch.h chooses among them). Accumulation
// order and rounding are part of the contract and are written down in docs/kernels.md.
//
// This header is included by files that are compiled for newer processors, so it defines types and
// nothing that could be emitted as a shared inline function.
#pragma once

#include <cstddef>
#include <cstdint>

#include "llava/kernels/packed.h"

namespace llava::kernels {

/// Element formats, in the order of the tables' arrays.
enum Format : int { kFormatF32, kFormatF16, kFormatBF16, kNumFormats };

/// IEEE binary16, by its bits.
struct Float16 {
  uint16_t bits;
};
/// The upper half of a float32, by its bits.
struct BFloat16 {
  uint16_t bits;
};
static_assert(sizeof(Float16) == 2 && sizeof(BFloat16) == 2);

/// Element-wise functions of one argument.
enum Unary : int { kUnaryGelu, kUnaryGeluTanh, kUnaryQuickGelu, kUnarySilu, kUnaryRelu };

/// Outputs [output_begin, output_end) of out[r][o] = round(x[r] . weight[o] + bias[o]) for all
/// rows. Strides are in elements. `scratch` holds kLinearScratchBytes, aligned to 64 bytes.
struct LinearArgs {
  const void* x;
  int64_t x_stride;
  int64_t num_rows;
  const void* weight;
  int64_t num_inputs;
  const void* bias;
  int64_t output_begin;
  int64_t output_end;
  void* out;
  int64_t out_stride;
  std::byte* scratch;
};
/// Outputs per call that the kernels are laid out for; callers split at its multiples.
inline constexpr int64_t kLinearPanel = 64;
/// Rows whose partial sums are held at a time; more rows are processed in turns.
inline constexpr int64_t kLinearMaxRows = 1024;
inline constexpr size_t kLinearScratchBytes =
    static_cast<size_t>(kLinearMaxRows * kLinearPanel * 4 + kLinearPanel * 4096 + 16 * 4096);

/// Keys and values of one key head of one sequence. Position t is row
/// pages[t / page_size] * page_size + t % page_size, `stride` elements apart.
struct KeyValueRows {
  const void* keys;
  const void* values;
  int64_t stride;
  const int32_t* pages;
  int64_t page_size;
};

/// Attention of a run of query rows of one key head. Row r is query head r % group of new token
/// r / group, at q + (r / group) * q_stride + (r % group) * head_width, position first_position +
/// r / group; out likewise. It sees keys [begin, end): end = position + 1 when causal, else
/// num_keys; begin = max(0, position + 1 - window) when window > 0, else 0.
struct AttentionArgs {
  const void* q;
  int64_t q_stride;
  void* out;
  int64_t out_stride;
  KeyValueRows cache;
  int64_t head_width;
  int64_t group;
  int64_t row_begin;
  int64_t row_end;
  int64_t first_position;
  int64_t num_keys;
  int64_t window;
  float scale;
  bool is_causal;
  std::byte* scratch;
};
/// Keys are taken in blocks of this many positions, aligned to multiples of it.
inline constexpr int64_t kAttentionBlock = 64;
/// Most query rows (row_end - row_begin) in one call.
inline constexpr int64_t kAttentionMaxRows = 96;
/// Bytes of scratch for one attention call, aligned to 64 bytes.
constexpr size_t attention_scratch_bytes(int64_t head_width) noexcept {
  const int64_t padded = (head_width + 15) / 16 * 16;
  const int64_t floats = 2 * kAttentionBlock * padded + 2 * kAttentionMaxRows * padded +
                         2 * kAttentionMaxRows + 16 * kAttentionBlock;
  return static_cast<size_t>(floats) * sizeof(float);
}

using ToFloatFn = void (*)(const void* in, float* out, int64_t count) noexcept;
using FromFloatFn = void (*)(const float* in, void* out, int64_t count) noexcept;
using LinearFn = void (*)(const LinearArgs& args) noexcept;
using AttentionFn = void (*)(const AttentionArgs& args) noexcept;
using UnaryFn = void (*)(const void* x, void* out, int64_t count, Unary kind) noexcept;
/// out = x + round(scale * y).
using AddScaledFn = void (*)(const void* x, const void* y, float scale, void* out,
                             int64_t count) noexcept;
/// out = round(silu(gate)) * up.
using SiluMulFn = void (*)(const void* gate, const void* up, void* out, int64_t count) noexcept;
/// out[r] = round(x[r] / sqrt(mean(x[r]^2) + epsilon)) * weight.
using RmsNormFn = void (*)(const void* x, const void* weight, float epsilon, void* out,
                           int64_t num_rows, int64_t width) noexcept;
using LayerNormFn = void (*)(const void* x, const void* weight, const void* bias, float epsilon,
                             void* out, int64_t num_rows, int64_t width) noexcept;
/// One token: out[h] = round(round(x[h] * cos) + round(rotate_half(x[h]) * sin)).
using RopeFn = void (*)(const void* x, const void* cos, const void* sin, void* out,
                        int64_t num_heads, int64_t head_width) noexcept;

/// One implementation of every kernel. Arrays are indexed by Format, `packed` by Packed.
struct KernelTable {
  const char* name;
  ToFloatFn to_float[kNumFormats];
  FromFloatFn from_float[kNumFormats];
  LinearFn linear[kNumFormats];
  AttentionFn attention[kNumFormats];
  UnaryFn unary[kNumFormats];
  AddScaledFn add_scaled[kNumFormats];
  SiluMulFn silu_mul[kNumFormats];
  RmsNormFn rms_norm[kNumFormats];
  LayerNormFn layer_norm[kNumFormats];
  RopeFn rope[kNumFormats];
  const PackedKernels* packed;
};

}  // namespace llava::kernels
