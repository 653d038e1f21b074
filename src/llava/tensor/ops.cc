// SPDX-License-Identifier: Apache-2.0
//
// Validation of every operation's arguments; the work is the backend's.
#include "llava/tensor/ops.h"

#include <vector>

#include "llava/core/check.h"

namespace llava::ops {
namespace {

void check_float(const Tensor& x) {
  LLAVA_CHECK(x.is_defined() && is_compute_dtype(x.dtype()), "dtype {}", dtype_name(x.dtype()));
}

void check_weight(const Tensor& x) {
  LLAVA_CHECK(x.is_defined() && (is_compute_dtype(x.dtype()) || is_packed(x.dtype())), "dtype {}",
              dtype_name(x.dtype()));
}

void check_same_dtype(const Tensor& x, const Tensor& y) {
  LLAVA_CHECK(x.dtype() == y.dtype(), "{} and {}", dtype_name(x.dtype()), dtype_name(y.dtype()));
}

void check_same(const Tensor& x, const Tensor& y) {
  check_float(x);
  check_same_dtype(x, y);
  LLAVA_CHECK(x.shape() == y.shape(), "{} and {}", to_text(x.shape()), to_text(y.shape()));
}

void check_vector(const Tensor& v, int64_t size, const Tensor& like) {
  check_same_dtype(v, like);
  LLAVA_CHECK(v.rank() == 1 && v.dim(0) == size, "{}, expected [{}]", to_text(v.shape()), size);
}

void check_linear(const Tensor& x, const LinearWeights& weights) {
  const Tensor& weight_OI = weights.weight_OI;
  const Tensor& bias_O = weights.bias_O;
  check_float(x);
  check_weight(weight_OI);
  if (!is_packed(weight_OI.dtype())) check_same_dtype(x, weight_OI);
  LLAVA_CHECK(x.rank() >= 1 && weight_OI.rank() == 2 && x.dim(-1) == weight_OI.dim(1),
              "{} times {}", to_text(x.shape()), to_text(weight_OI.shape()));
  if (bias_O.is_defined()) check_vector(bias_O, weight_OI.dim(0), x);
  for (const LowRankTerm& term : weights.low_rank) {
    check_same(term.x, x);
    check_same_dtype(term.a_RI, x);
    check_same_dtype(term.b_OR, x);
    LLAVA_CHECK(term.a_RI.rank() == 2 && term.b_OR.rank() == 2 && term.a_RI.dim(1) == x.dim(-1) &&
                    term.b_OR.dim(0) == weight_OI.dim(0) && term.a_RI.dim(0) == term.b_OR.dim(1),
                "{} and {} beside {}", to_text(term.a_RI.shape()), to_text(term.b_OR.shape()),
                to_text(weight_OI.shape()));
  }
}

Tensor as_rows(const Tensor& x) { return x.reshape({-1, x.dim(-1)}); }

// Rows with the leading dimensions of `x`.
Tensor with_dimensions_of(const Tensor& x, const Tensor& rows) {
  Shape shape = x.shape();
  shape.back() = rows.dim(-1);
  return rows.reshape(std::move(shape));
}

void check_rows(std::span<const int32_t> rows, int64_t bound) {
  for (const int32_t row : rows) LLAVA_CHECK(row >= 0 && row < bound, "row {} of {}", row, bound);
}

void check_sequences(std::span<const SequenceSlice> sequences, int64_t num_tokens) {
  int64_t next = 0;
  for (const SequenceSlice& slice : sequences) {
    LLAVA_CHECK(slice.first_token == next && slice.num_tokens >= 0 && slice.num_past >= 0);
    next += slice.num_tokens;
  }
  LLAVA_CHECK(next == num_tokens, "sequences cover {} of {} rows", next, num_tokens);
}

void check_pages(const KvLayer& layer, std::span<const SequenceSlice> sequences) {
  const Shape& shape = layer.key_pages.shape();
  LLAVA_CHECK(shape.size() == 4 && layer.value_pages.shape() == shape);
  LLAVA_CHECK(shape[1] > 0 && shape[2] > 0, "pages {}", to_text(shape));
  check_same_dtype(layer.key_pages, layer.value_pages);
  const bool has_scales = layer.key_pages.dtype() == DType::kInt8;
  LLAVA_CHECK(has_scales || is_compute_dtype(layer.key_pages.dtype()), "pages of {}",
              dtype_name(layer.key_pages.dtype()));
  for (const Tensor* scales : {&layer.key_scales, &layer.value_scales}) {
    LLAVA_CHECK(scales->is_defined() == has_scales);
    LLAVA_CHECK(!has_scales || (scales->dtype() == DType::kFloat32 &&
                                scales->shape() == Shape(shape.begin(), shape.end() - 1)));
  }
  for (const SequenceSlice& slice : sequences) {
    const int64_t end = int64_t{slice.num_past} + slice.num_tokens;
    LLAVA_CHECK(end <= static_cast<int64_t>(slice.pages.size()) * shape[1],
                "{} tokens in {} pages of {}", end, slice.pages.size(), shape[1]);
    check_rows(slice.pages, shape[0]);
  }
}

}  // namespace

Tensor from_host(Context& ctx, const Tensor& x) { return ctx.backend.from_host(x); }
Tensor to_host(Context& ctx, const Tensor& x) { return ctx.backend.to_host(x); }
Tensor empty(Context& ctx, const Shape& shape, DType dtype) {
  return ctx.backend.empty(shape, dtype);
}

Tensor cast(Context& ctx, const Tensor& x, DType dtype) {
  LLAVA_CHECK(is_compute_dtype(dtype));
  check_float(x);
  return x.dtype() == dtype ? x : ctx.backend.cast(x, dtype);
}

Tensor embedding(Context& ctx, const Tensor& table_VD, std::span<const int32_t> ids, DType dtype) {
  check_weight(table_VD);
  LLAVA_CHECK(table_VD.rank() == 2 && is_compute_dtype(dtype));
  check_rows(ids, table_VD.dim(0));
  return ctx.backend.embedding(table_VD, ids, dtype);
}

Tensor linear(Context& ctx, const Tensor& x, const Tensor& weight_OI, const Tensor& bias_O) {
  check_linear(x, {weight_OI, bias_O});
  if (x.rank() == 2) return ctx.backend.linear(x, weight_OI, bias_O);
  return with_dimensions_of(x, ctx.backend.linear(as_rows(x), weight_OI, bias_O));
}

void linear_all(Context& ctx, const Tensor& x, std::span<const LinearWeights> weights,
                std::span<Tensor> results) {
  LLAVA_CHECK(results.size() == weights.size());
  for (const LinearWeights& each : weights) check_linear(x, each);
  if (x.rank() == 2) return ctx.backend.linear_all(x, weights, results);
  std::vector<std::vector<LowRankTerm>> terms;
  std::vector<LinearWeights> flat;
  for (const LinearWeights& each : weights) {
    terms.emplace_back(each.low_rank.begin(), each.low_rank.end());
    for (LowRankTerm& term : terms.back()) term.x = as_rows(term.x);
    flat.push_back({each.weight_OI, each.bias_O, terms.back()});
  }
  ctx.backend.linear_all(as_rows(x), flat, results);
  for (Tensor& result : results) result = with_dimensions_of(x, result);
}

Tensor patch_embed(Context& ctx, const Tensor& pixels_ICHW, const Tensor& weight_DCpp,
                   const Tensor& bias_D) {
  check_float(pixels_ICHW);
  check_same_dtype(pixels_ICHW, weight_DCpp);
  LLAVA_CHECK(pixels_ICHW.rank() == 4 && weight_DCpp.rank() == 4 &&
              pixels_ICHW.dim(1) == weight_DCpp.dim(1) && weight_DCpp.dim(2) > 0 &&
              weight_DCpp.dim(2) == weight_DCpp.dim(3) &&
              pixels_ICHW.dim(2) >= weight_DCpp.dim(2) && pixels_ICHW.dim(3) >= weight_DCpp.dim(3));
  if (bias_D.is_defined()) check_vector(bias_D, weight_DCpp.dim(0), pixels_ICHW);
  return ctx.backend.patch_embed(pixels_ICHW, weight_DCpp, bias_D);
}

Tensor add(Context& ctx, const Tensor& x, const Tensor& y) { return add_scaled(ctx, x, y, 1.0f); }

Tensor add_scaled(Context& ctx, const Tensor& x, const Tensor& y, float scale) {
  check_same(x, y);
  return ctx.backend.add_scaled(x, y, scale);
}

Tensor activation(Context& ctx, const Tensor& x, Activation kind) {
  check_float(x);
  return ctx.backend.activation(x, kind);
}

Tensor silu_mul(Context& ctx, const Tensor& gate, const Tensor& up) {
  check_same(gate, up);
  return ctx.backend.silu_mul(gate, up);
}

Tensor rms_norm(Context& ctx, const Tensor& x, const Tensor& weight, float epsilon) {
  check_float(x);
  LLAVA_CHECK(x.rank() >= 1);
  check_vector(weight, x.dim(-1), x);
  return ctx.backend.rms_norm(x, weight, epsilon);
}

Tensor layer_norm(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  float epsilon) {
  check_float(x);
  LLAVA_CHECK(x.rank() >= 1);
  check_vector(weight, x.dim(-1), x);
  check_vector(bias, x.dim(-1), x);
  return ctx.backend.layer_norm(x, weight, bias, epsilon);
}

Tensor rope(Context& ctx, const Tensor& x_THE, const Tensor& cos_TE, const Tensor& sin_TE) {
  check_float(x_THE);
  check_same(cos_TE, sin_TE);
  check_same_dtype(x_THE, cos_TE);
  LLAVA_CHECK(x_THE.rank() == 3 && cos_TE.rank() == 2 && cos_TE.dim(0) == x_THE.dim(0) &&
              cos_TE.dim(1) == x_THE.dim(2) && x_THE.dim(2) % 2 == 0);
  return ctx.backend.rope(x_THE, cos_TE, sin_TE);
}

Tensor attention(Context& ctx, const Tensor& q_THE, const Tensor& k_TKE, const Tensor& v_TKE,
                 std::span<const SequenceSlice> sequences, const AttentionSpec& spec) {
  check_float(q_THE);
  check_same(k_TKE, v_TKE);
  check_same_dtype(q_THE, k_TKE);
  LLAVA_CHECK(q_THE.rank() == 3 && k_TKE.rank() == 3 && q_THE.dim(0) == k_TKE.dim(0) &&
              q_THE.dim(2) == k_TKE.dim(2) && k_TKE.dim(1) > 0 && q_THE.dim(1) % k_TKE.dim(1) == 0);
  check_sequences(sequences, q_THE.dim(0));
  for (const SequenceSlice& slice : sequences) {
    LLAVA_CHECK(slice.pages.size() == static_cast<std::size_t>(slice.num_past));
    check_rows(slice.pages, q_THE.dim(0));
  }
  return ctx.backend.attention(q_THE, k_TKE, v_TKE, sequences, spec);
}

void kv_write(Context& ctx, KvLayer& layer, const Tensor& k_TKE, const Tensor& v_TKE,
              std::span<const SequenceSlice> sequences) {
  check_same(k_TKE, v_TKE);
  check_float(k_TKE);
  check_pages(layer, sequences);
  LLAVA_CHECK(k_TKE.rank() == 3 && k_TKE.dim(1) == layer.key_pages.dim(2) &&
              k_TKE.dim(2) == layer.key_pages.dim(3));
  check_sequences(sequences, k_TKE.dim(0));
  ctx.backend.kv_write(layer, k_TKE, v_TKE, sequences);
}

Tensor attention_cached(Context& ctx, const Tensor& q_THE, const KvLayer& layer,
                        std::span<const SequenceSlice> sequences, const AttentionSpec& spec) {
  check_float(q_THE);
  check_pages(layer, sequences);
  LLAVA_CHECK(q_THE.rank() == 3 && q_THE.dim(2) == layer.key_pages.dim(3) &&
              q_THE.dim(1) % layer.key_pages.dim(2) == 0);
  check_sequences(sequences, q_THE.dim(0));
  return ctx.backend.attention_cached(q_THE, layer, sequences, spec);
}

void write_rows(Context& ctx, Tensor& target, int64_t first_row, const Tensor& rows) {
  LLAVA_CHECK(target.rank() >= 1 && rows.rank() == target.rank() &&
              target.dtype() == rows.dtype() && !is_packed(rows.dtype()));
  for (int i = 1; i < rows.rank(); ++i) LLAVA_CHECK(rows.dim(i) == target.dim(i));
  LLAVA_CHECK(first_row >= 0 && rows.dim(0) <= target.dim(0) - first_row,
              "{} rows from row {} on in {}", rows.dim(0), first_row, target.dim(0));
  ctx.backend.write_rows(target, first_row, rows);
}

Tensor gather_rows(Context& ctx, const Tensor& x, std::span<const int32_t> rows) {
  LLAVA_CHECK(x.rank() >= 1);
  check_rows(rows, x.dim(0));
  return ctx.backend.gather_rows(x, rows);
}

Tensor scatter_rows(Context& ctx, const Tensor& x, const Tensor& source,
                    std::span<const int32_t> rows) {
  check_same_dtype(x, source);
  LLAVA_CHECK(x.rank() >= 1 && source.rank() == x.rank() &&
              source.dim(0) == static_cast<int64_t>(rows.size()));
  for (int i = 1; i < x.rank(); ++i) LLAVA_CHECK(x.dim(i) == source.dim(i));
  check_rows(rows, x.dim(0));
  return ctx.backend.scatter_rows(x, source, rows);
}

Tensor concat_rows(Context& ctx, std::span<const Tensor> parts) {
  LLAVA_CHECK(!parts.empty());
  for (const Tensor& part : parts) {
    check_same_dtype(part, parts[0]);
    LLAVA_CHECK(part.rank() == parts[0].rank() && part.rank() >= 1);
    for (int i = 1; i < part.rank(); ++i) LLAVA_CHECK(part.dim(i) == parts[0].dim(i));
  }
  return parts.size() == 1 ? parts[0] : ctx.backend.concat_rows(parts);
}

Tensor concat_columns(Context& ctx, std::span<const Tensor> parts) {
  LLAVA_CHECK(!parts.empty());
  for (const Tensor& part : parts) {
    check_same_dtype(part, parts[0]);
    LLAVA_CHECK(part.rank() == parts[0].rank() && part.rank() >= 1);
    for (int i = 0; i + 1 < part.rank(); ++i) LLAVA_CHECK(part.dim(i) == parts[0].dim(i));
  }
  return parts.size() == 1 ? parts[0] : ctx.backend.concat_columns(parts);
}

}  // namespace llava::ops
