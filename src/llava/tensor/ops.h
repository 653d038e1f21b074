// SPDX-License-Identifier: Apache-2.0
//
// The operations a transformer is made of: the one contract that both backends implement and that
// the same test cases check on each (tests/llava/backend).
//
// Common rules. Floating tensors are float32, float16 or bfloat16; all floating arguments of one
// call share a dtype and the result has it. Sums are accumulated in float32 whatever the dtype, and
// each operation rounds once, at its end, unless it says otherwise. Every function throws
// Error(kInternal) when a shape or dtype does not fit: arguments come from the model, never from
// outside. Results are new tensors; arguments are never written, except the cache of kv_write
// and the target of write_rows.
//
// Determinism (native backend). An element of a result depends only on the rows it is computed
// from: never on the number of rows in the call, on its place among them or on the thread count.
//
// Shape letters: T tokens or rows, D width, V vocabulary, I inputs of a linear layer (images in
// patch_embed), O outputs, H query heads, K key/value heads, E head width, C channels, P patches,
// p patch side. "..." is any number of leading dimensions.
#pragma once

#include <cstdint>
#include <span>

#include "llava/tensor/backend.h"

namespace llava::ops {

/// Moves a host tensor to the backend's device; the tensor itself when it is already there.
Tensor from_host(Context& ctx, const Tensor& x);
/// Copies to host memory; the tensor itself when it is already there.
Tensor to_host(Context& ctx, const Tensor& x);
/// Uninitialised memory on the backend's device.
Tensor empty(Context& ctx, const Shape& shape, DType dtype);
/// Converts between float dtypes, round to nearest even; the tensor itself if nothing changes.
Tensor cast(Context& ctx, const Tensor& x, DType dtype);

/// Rows of a table: table_VD, ids [T] in [0, V) -> [T, D] in `dtype`. The table is of any float
/// dtype or packed form; a row of another dtype is rounded to nearest even.
Tensor embedding(Context& ctx, const Tensor& table_VD, std::span<const int32_t> ids, DType dtype);

/// x W^T + b: x [..., I], weight [O, I], bias [O] or undefined -> [..., O]. The bias is added in
/// float32 before the one rounding.
///
/// The weight may be packed (tensor/packed.h) whatever the dtype of x and bias: each row of x is
/// then taken as 8-bit codes with one float32 scale for every 32 inputs (8-bit forms) or 128 (4-bit
/// forms), as docs/kernels.md defines; that rounding is part of the operation on every backend.
Tensor linear(Context& ctx, const Tensor& x, const Tensor& weight_OI, const Tensor& bias_O);

/// linear() of one x with several weights: results[i] is that of weights[i], to the last bit, plus
/// its low-rank terms: add_scaled of the term's scale and linear(linear(x, A), B), or, where
/// gradients are recorded, with one rounding after the sum.
void linear_all(Context& ctx, const Tensor& x, std::span<const LinearWeights> weights,
                std::span<Tensor> results);

/// Cuts square patches and projects them: pixels [I, C, S, S], weight [D, C, p, p], bias [D] or
/// undefined -> [I, P, D] with P = (S / p)^2 in row-major order; pixels beyond the last whole patch
/// are ignored. A convolution with kernel and stride p.
Tensor patch_embed(Context& ctx, const Tensor& pixels_ICHW, const Tensor& weight_DCpp,
                   const Tensor& bias_D);

/// x + y, equal shapes.
Tensor add(Context& ctx, const Tensor& x, const Tensor& y);
/// x + scale * y, equal shapes; scale * y is rounded to the dtype before the sum, as the published
/// LoRA layers do.
Tensor add_scaled(Context& ctx, const Tensor& x, const Tensor& y, float scale);

/// Element-wise: gelu 0.5 x (1 + erf(x / sqrt 2)), its tanh form, quick_gelu x sigmoid(1.702 x),
/// silu x sigmoid(x), relu.
Tensor activation(Context& ctx, const Tensor& x, Activation kind);
/// silu(gate) * up, equal shapes; silu(gate) is rounded to the dtype before the product.
Tensor silu_mul(Context& ctx, const Tensor& gate, const Tensor& up);

/// x / sqrt(mean(x^2) + epsilon) in float32, rounded to the dtype, then times weight and rounded
/// again, as published: x [..., D], weight [D].
Tensor rms_norm(Context& ctx, const Tensor& x, const Tensor& weight, float epsilon);
/// (x - mean) / sqrt(var + epsilon) * weight + bias, biased variance, one rounding: x [..., D].
Tensor layer_norm(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  float epsilon);

/// Rotary embedding, half-rotation form: x * cos + rotate_half(x) * sin with rotate_half(v) =
/// [-v[E/2:], v[:E/2]]: x [T, H, E], cos and sin [T, E] in x's dtype -> [T, H, E]. Both products
/// and the sum are rounded to the dtype, as published.
Tensor rope(Context& ctx, const Tensor& x_THE, const Tensor& cos_TE, const Tensor& sin_TE);

/// Softmax attention inside each sequence, without a cache: q [T, H, E], k and v [T, K, E] ->
/// [T, H, E]. `sequences` covers the rows; a sequence may go on from rows of others, its pages.
/// Query head h reads key head h / (H / K). Scores and softmax in float32.
Tensor attention(Context& ctx, const Tensor& q_THE, const Tensor& k_TKE, const Tensor& v_TKE,
                 std::span<const SequenceSlice> sequences, const AttentionSpec& spec);

/// Writes each sequence's new keys and values at positions num_past .. num_past + num_tokens - 1 of
/// its pages, converted to their dtype, round to nearest even. For int8 a head's scale is its
/// largest magnitude / 127 and its codes x * (127 / largest magnitude) (zeros below 2^-120); a head
/// with a number that is not finite gets a scale that is not.
void kv_write(Context& ctx, KvLayer& layer, const Tensor& k_TKE, const Tensor& v_TKE,
              std::span<const SequenceSlice> sequences);

/// As `attention`, against the pages: the query of new token i is at position num_past + i and the
/// keys 0 .. num_past + num_tokens - 1 have been written. The result has the queries' dtype;
/// scores, softmax and sums are float32 on the widened keys and values. Keys are taken in pieces of
/// 256 positions whose results are put together in order, so a decoding step may be split over
/// threads.
Tensor attention_cached(Context& ctx, const Tensor& q_THE, const KvLayer& layer,
                        std::span<const SequenceSlice> sequences, const AttentionSpec& spec);

/// Overwrites rows first_row .. of `target` [T, ...] with `rows` [R, ...] of the same dtype, any
/// that is not packed. For pages of the KV cache; other tensors are never written.
void write_rows(Context& ctx, Tensor& target, int64_t first_row, const Tensor& rows);

/// Rows of x by index: x [T, ...] -> [rows, ...].
Tensor gather_rows(Context& ctx, const Tensor& x, std::span<const int32_t> rows);
/// A copy of x whose row rows[i] is source's row i: x [T, ...], source [rows, ...]; rows distinct.
Tensor scatter_rows(Context& ctx, const Tensor& x, const Tensor& source,
                    std::span<const int32_t> rows);
/// Concatenates on the first dimension; the other dimensions agree.
Tensor concat_rows(Context& ctx, std::span<const Tensor> parts);
/// Concatenates on the last dimension; the other dimensions agree.
Tensor concat_columns(Context& ctx, std::span<const Tensor> parts);

}  // namespace llava::ops
