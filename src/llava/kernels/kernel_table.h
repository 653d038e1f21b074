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
/// Inputs whose products are summed by themselves before they are added to an output.
inline constexpr int64_t kLinearBlock = 512;
inline constexpr size_t kLinearScratchBytes =
    static_cast<size_t>((kLinearMaxRows + kLinearBlock) * kLinearPanel * 4 + 16 * kLinearBlock * 4);

/// Formats of cached keys and values: the element formats under the same numbers, and int8 with one
/// float32 scale per position and key head.
enum KeyValueFormat : int {
  kKeyValueF32 = kFormatF32,
  kKeyValueF16 = kFormatF16,
  kKeyValueBF16 = kFormatBF16,
  kKeyValueInt8,
  kNumKeyValueFormats
};

/// Keys and values of one key head of one sequence. Position t is row
/// pages[t / page_size] * page_size + t % page_size, `stride` elements apart. The scales of int8
/// rows lie `scale_stride` floats apart; they are null for the other formats.
struct KeyValueRows {
  const void* keys;
  const void* values;
  int64_t stride;
  const int32_t* pages;
  int64_t page_size;
  const float* key_scales;
  const float* value_scales;
  int64_t scale_stride;
};

/// Attention of a run of query rows of `num_key_heads` neighbouring key heads; more than one only
/// with at most kAttentionMaxDirectRows rows in all. Row r of key head h is query head h * group +
/// r % group of new token r / group, at q + (r / group) * q_stride + (h * group + r % group) *
/// head_width, position first_position + r / group; out likewise. It sees keys [begin, end): end =
/// position + 1 when causal, else num_keys; begin = max(0, position + 1 - window) when window > 0,
/// else 0. Head h's keys and values lie h * head_width elements on, its scales h floats.
///
/// The keys are taken in pieces of kAttentionPiece positions, each softened by itself, and the
/// pieces are put together in order. With `partials`, `attention` does piece `piece_begin` only and
/// writes [heads][rows][attention_partial_floats()] there: the row's maximum, the sum of its
/// weights, and from kAttentionPartialHeader on the weighted sum of the values; nothing for a row
/// that sees no key of the piece. `attention_merge` makes the results from the partials of pieces
/// [piece_begin, piece_end), `partial_stride` floats apart: the same bits as a call without.
struct AttentionArgs {
  const void* q;
  int64_t q_stride;
  void* out;
  int64_t out_stride;
  KeyValueRows cache;
  int64_t head_width;
  int64_t num_key_heads;
  int64_t group;
  int64_t row_begin;
  int64_t row_end;
  int64_t first_position;
  int64_t num_keys;
  int64_t window;
  float scale;
  bool is_causal;
  float* partials;
  int64_t partial_stride;
  int64_t piece_begin;
  int64_t piece_end;
  std::byte* scratch;
};
/// Positions of a piece; pieces begin at its multiples.
inline constexpr int64_t kAttentionPiece = 256;
/// Most query rows (row_end - row_begin) in one call.
inline constexpr int64_t kAttentionMaxRows = 192;
/// Most query rows of all key heads together in a call for several key heads.
inline constexpr int64_t kAttentionMaxDirectRows = 64;
/// The head width rounded up to whole vectors.
constexpr int64_t attention_padded_width(int64_t head_width) noexcept {
  return (head_width + 15) / 16 * 16;
}
inline constexpr int64_t kAttentionPartialHeader = 16;
/// Floats of one row's partial result.
constexpr int64_t attention_partial_floats(int64_t head_width) noexcept {
  return kAttentionPartialHeader + attention_padded_width(head_width);
}
/// Bytes of scratch for one attention call, aligned to 64 bytes.
constexpr size_t attention_scratch_bytes(int64_t head_width) noexcept {
  const int64_t rows = 2 * (kAttentionPiece + kAttentionMaxRows) + kAttentionMaxDirectRows;
  const int64_t floats = rows * attention_padded_width(head_width) + 2 * kAttentionMaxRows +
                         (2 + kAttentionMaxDirectRows) * kAttentionPiece;
  return static_cast<size_t>(floats) * sizeof(float);
}

using ToFloatFn = void (*)(const void* in, float* out, int64_t count) noexcept;
using FromFloatFn = void (*)(const float* in, void* out, int64_t count) noexcept;
using LinearFn = void (*)(const LinearArgs& args) noexcept;
using AttentionFn = void (*)(const AttentionArgs& args) noexcept;
/// Rows of int8 with a scale each: scale = max |x| / 127, out = x * (127 / max |x|) rounded to
/// nearest even. A row whose largest magnitude is below 2^-120 becomes zeros; one that is not
/// finite gets a scale that is not.
using QuantizeRowsFn = void (*)(const float* x, int8_t* out, float* scales, int64_t num_rows,
                                int64_t width) noexcept;
using UnaryFn = void (*)(const void* x, void* out, int64_t count, Unary kind) noexcept;
/// out = x + round(scale * y).
using AddScaledFn = void (*)(const void* x, const void* y, float scale, void* out,
                             int64_t count) noexcept;
/// out = round(silu(gate)) * up.
using SiluMulFn = void (*)(const void* gate, const void* up, void* out, int64_t count) noexcept;
/// out[r] = round(x[r] / sqrt(mean(x[r]^2) + epsilon)) * weight.
using RmsNormFn = void (*)(const void* x, const void* weight, float epsilon, void* out,
                           int64_t num_rows, int64_t width) noexcept;
/// Gradients of silu_mul's arguments, given that of its result; gradient * up is rounded before it
/// meets silu's derivative.
using SiluMulGradientFn = void (*)(const void* gate, const void* up, const void* gradient,
                                   void* gate_gradient, void* up_gradient, int64_t count) noexcept;
/// Gradient of rms_norm's x, given that of its result; each row's share of the weight's gradient is
/// added to `weight_gradient`, in order of the rows, unless that is null.
using RmsNormGradientFn = void (*)(const void* x, const void* weight, float epsilon,
                                   const void* gradient, void* x_gradient, float* weight_gradient,
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
  /// Queries, keys and values of one format.
  AttentionFn attention[kNumFormats];
  /// Float32 queries and results, by KeyValueFormat.
  AttentionFn attention_f32[kNumKeyValueFormats];
  /// By the format of the results.
  AttentionFn attention_merge[kNumFormats];
  QuantizeRowsFn quantize_rows;
  UnaryFn unary[kNumFormats];
  AddScaledFn add_scaled[kNumFormats];
  SiluMulFn silu_mul[kNumFormats];
  RmsNormFn rms_norm[kNumFormats];
  LayerNormFn layer_norm[kNumFormats];
  RopeFn rope[kNumFormats];
  SiluMulGradientFn silu_mul_gradient[kNumFormats];
  RmsNormGradientFn rms_norm_gradient[kNumFormats];
  const PackedKernels* packed;
};

}  // namespace llava::kernels
