// SPDX-License-Identifier: Apache-2.0
#include "llava/model/tensor_parallel.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "llava/core/error.h"
#include "llava/tensor/packed.h"

namespace llava::model {
namespace {

/// Rows or columns [begin, end) of a matrix.
struct Range {
  int64_t begin, end;

  int64_t size() const { return end - begin; }
};

// Packed weights are cut between groups of inputs and panels of outputs.
void require_whole(std::string_view what, const Range& range, int64_t size, int64_t unit,
                   DType dtype) {
  if (range.begin % unit == 0 && (range.end % unit == 0 || range.end == size)) return;
  fail(ErrorCode::kUnsupported,
       "{} {} to {} of {} are no share of {} weights, which are cut at multiples of {}: give --tp "
       "another number, or --dtype bfloat16 and neither --load-4bit nor --load-8bit",
       what, range.begin, range.end, size, dtype_name(dtype), unit);
}

Tensor rows_of(Context& ctx, const Tensor& whole, const Range& rows) {
  const Tensor host = ops::to_host(ctx, whole);
  if (is_packed(host.dtype())) {
    require_whole("outputs", rows, host.dim(0), kPackedPanel, host.dtype());
    return ops::from_host(ctx, packed_rows(host, rows.begin, rows.end));
  }
  const Tensor part = host.rows(rows.begin, rows.end);
  Tensor copy = Tensor::empty(part.shape(), part.dtype());
  const auto bytes = part.bytes();
  std::memcpy(copy.mutable_bytes().data(), bytes.data(), bytes.size());
  return ops::from_host(ctx, copy);
}

Tensor columns_of(Context& ctx, const Tensor& whole, const Range& columns) {
  const Tensor host = ops::to_host(ctx, whole);
  if (is_packed(host.dtype())) {
    require_whole("inputs", columns, host.dim(1), kPackedGroup, host.dtype());
    return ops::from_host(ctx, packed_columns(host, columns.begin, columns.end));
  }
  const int64_t num_rows = host.dim(0);
  Tensor copy = Tensor::empty({num_rows, columns.size()}, host.dtype());
  const auto item = static_cast<std::size_t>(item_size(host.dtype()));
  const std::size_t from_stride = static_cast<std::size_t>(host.dim(1)) * item;
  const std::size_t to_stride = static_cast<std::size_t>(columns.size()) * item;
  const std::byte* from = host.bytes().data() + static_cast<std::size_t>(columns.begin) * item;
  std::byte* to = copy.mutable_bytes().data();
  for (int64_t row = 0; row < num_rows; ++row, from += from_stride, to += to_stride) {
    std::memcpy(to, from, to_stride);
  }
  return ops::from_host(ctx, copy);
}

/// Some outputs of a layer.
void keep_rows(Context& ctx, Linear& linear, const Range& rows) {
  linear.weight.value = rows_of(ctx, linear.weight.value, rows);
  linear.weight.shape[0] = rows.size();
  if (linear.has_bias) linear.bias.value = rows_of(ctx, linear.bias.value, rows);
  linear.bias.shape[0] = rows.size();
  for (LoraAdapter& adapter : linear.adapters) adapter.b_OR = rows_of(ctx, adapter.b_OR, rows);
}

/// What some inputs add to all outputs of a layer; its bias is the first rank's to add.
void keep_columns(Context& ctx, Linear& linear, const Range& columns, bool is_first) {
  linear.weight.value = columns_of(ctx, linear.weight.value, columns);
  linear.weight.shape[1] = columns.size();
  linear.has_bias = linear.has_bias && is_first;
  for (LoraAdapter& adapter : linear.adapters) {
    adapter.a_RI = columns_of(ctx, adapter.a_RI, columns);
  }
}

/// The share of `count` that a rank has: whole groups of packed weights where every rank gets one.
Range share_of(int64_t count, const ModelShare& share) {
  const int64_t unit = count / kPackedGroup >= share.num_ranks ? kPackedGroup : 1;
  const auto bound = [&](int64_t rank) {
    const int64_t num_units = (count + unit - 1) / unit;
    return std::min(count, num_units * rank / share.num_ranks * unit);
  };
  return {bound(share.rank), bound(share.rank + 1)};
}

void require_division(std::string_view what, int64_t count, int32_t num_ranks) {
  if (count % num_ranks == 0) return;
  fail(
      ErrorCode::kInvalidArgument,
      "the model's {} {} cannot be shared evenly by {} ranks: give --tp a number that divides them",
      count, what, num_ranks);
}

}  // namespace

void take_share(Context& ctx, LlavaModel& model, const ModelShare& share,
                const std::function<Tensor(Context& ctx, const Tensor& part)>& sum) {
  const DecoderConfig whole = model.config.decoder;
  const bool is_first = share.rank == 0;
  const int64_t width = whole.head_dim;
  const int64_t num_key_heads = whole.num_key_value_heads;
  require_division("attention heads", whole.num_attention_heads, share.num_ranks);
  // As many ranks as key heads and more: each has the one that its query heads share.
  const bool is_shared = num_key_heads < share.num_ranks;
  if (is_shared && share.num_ranks % num_key_heads != 0) {
    fail(ErrorCode::kInvalidArgument,
         "{} ranks cannot share the model's {} key heads evenly: give --tp another number",
         share.num_ranks, num_key_heads);
  }
  if (!is_shared) require_division("key heads", num_key_heads, share.num_ranks);
  const auto part_of = [&share](int64_t count) {
    return Range{count * share.rank / share.num_ranks, count * (share.rank + 1) / share.num_ranks};
  };
  const Range heads = part_of(whole.num_attention_heads);
  Range key_heads = part_of(num_key_heads);
  if (is_shared) key_heads.end = key_heads.begin + 1;
  const Range queries{heads.begin * width, heads.end * width};
  const Range keys{key_heads.begin * width, key_heads.end * width};
  const Range columns = share_of(whole.intermediate_size, share);

  for (DecoderLayer& layer : model.decoder.layers) {
    SelfAttention& attention = layer.self_attn;
    attention.num_heads = static_cast<int32_t>(heads.size());
    attention.num_key_value_heads = static_cast<int32_t>(key_heads.size());
    keep_rows(ctx, attention.q_proj, queries);
    keep_rows(ctx, attention.k_proj, keys);
    keep_rows(ctx, attention.v_proj, keys);
    keep_columns(ctx, attention.o_proj, queries, is_first);
    attention.o_proj.on_output = sum;
    keep_rows(ctx, layer.mlp.gate_proj, columns);
    keep_rows(ctx, layer.mlp.up_proj, columns);
    keep_columns(ctx, layer.mlp.down_proj, columns, is_first);
    layer.mlp.down_proj.on_output = sum;
  }
  Linear& head = model.lm_head;
  // A tied head is the table of embeddings, of which every rank needs all.
  if (!head.weight.value.is_defined()) head.weight.value = model.decoder.embed_tokens.value;
  keep_rows(ctx, head, share_of(whole.vocab_size, share));
  for (DecoderConfig* config : {&model.config.decoder, &model.decoder.config}) {
    config->num_attention_heads = static_cast<int32_t>(heads.size());
    config->num_key_value_heads = static_cast<int32_t>(key_heads.size());
    config->intermediate_size = static_cast<int32_t>(columns.size());
  }
}

}  // namespace llava::model
