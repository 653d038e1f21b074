// SPDX-License-Identifier: Apache-2.0
#include "llava/model/tensor_parallel.h"

#include <cstring>
#include <string_view>

#include "llava/core/error.h"

namespace llava::model {
namespace {

/// Rows or columns [begin, end) of a matrix.
struct Range {
  int64_t begin, end;

  int64_t size() const { return end - begin; }
};

Tensor rows_of(Context& ctx, const Tensor& whole, const Range& rows) {
  const Tensor host = ops::to_host(ctx, whole);
  const Tensor part = host.rows(rows.begin, rows.end);
  Tensor copy = Tensor::empty(part.shape(), part.dtype());
  const auto bytes = part.bytes();
  std::memcpy(copy.mutable_bytes().data(), bytes.data(), bytes.size());
  return ops::from_host(ctx, copy);
}

Tensor columns_of(Context& ctx, const Tensor& whole, const Range& columns) {
  const Tensor host = ops::to_host(ctx, whole);
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

void require_unpacked(const Linear& linear) {
  const DType dtype = linear.weight.value.dtype();
  if (!is_packed(dtype)) return;
  fail(ErrorCode::kUnsupported,
       "a model of {} weights cannot be cut for several ranks: leave --load-4bit and --load-8bit "
       "out, and give --dtype bfloat16 or float32 for a GGUF file or a packed store",
       dtype_name(dtype));
}

/// Some outputs of a layer.
void keep_rows(Context& ctx, Linear& linear, const Range& rows) {
  require_unpacked(linear);
  linear.weight.value = rows_of(ctx, linear.weight.value, rows);
  linear.weight.shape[0] = rows.size();
  if (linear.has_bias) linear.bias.value = rows_of(ctx, linear.bias.value, rows);
  linear.bias.shape[0] = rows.size();
  for (LoraAdapter& adapter : linear.adapters) adapter.b_OR = rows_of(ctx, adapter.b_OR, rows);
}

/// What some inputs add to all outputs of a layer; its bias is the first rank's to add.
void keep_columns(Context& ctx, Linear& linear, const Range& columns, bool is_first) {
  require_unpacked(linear);
  linear.weight.value = columns_of(ctx, linear.weight.value, columns);
  linear.weight.shape[1] = columns.size();
  linear.has_bias = linear.has_bias && is_first;
  for (LoraAdapter& adapter : linear.adapters) {
    adapter.a_RI = columns_of(ctx, adapter.a_RI, columns);
  }
}

/// The share of `count` that a rank has.
Range share_of(int64_t count, const ModelShare& share) {
  return {count * share.rank / share.num_ranks, count * (share.rank + 1) / share.num_ranks};
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
  const Range heads = share_of(whole.num_attention_heads, share);
  Range key_heads = share_of(num_key_heads, share);
  if (is_shared) {
    const int64_t head = num_key_heads * share.rank / share.num_ranks;
    key_heads = {head, head + 1};
  }
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
  for (DecoderConfig* config : {&model.config.decoder, &model.decoder.config}) {
    config->num_attention_heads = static_cast<int32_t>(heads.size());
    config->num_key_value_heads = static_cast<int32_t>(key_heads.size());
    config->intermediate_size = static_cast<int32_t>(columns.size());
  }
}

}  // namespace llava::model
