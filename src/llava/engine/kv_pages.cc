// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/kv_pages.h"

#include <numeric>

namespace llava::engine {

KvPages::KvPages(Context& ctx, const model::DecoderConfig& config, DType dtype, int32_t num_pages,
                 int32_t page_size)
    : page_size_(page_size) {
  const Shape shape{num_pages, page_size, config.num_key_value_heads, config.head_dim};
  for (int32_t i = 0; i < config.num_hidden_layers; ++i) {
    layers_.push_back({ops::empty(ctx, shape, dtype), ops::empty(ctx, shape, dtype)});
  }
}

int64_t KvPages::bytes_per_token(const model::DecoderConfig& config, DType dtype) {
  return int64_t{2} * config.num_hidden_layers * config.num_key_value_heads * config.head_dim *
         item_size(dtype);
}

void KvPages::copy(Context& ctx, int32_t from, int32_t to, int32_t num_tokens) {
  std::vector<int32_t> rows(static_cast<std::size_t>(num_tokens));
  std::iota(rows.begin(), rows.end(), from * page_size_);
  const SequenceSlice target{
      .first_token = 0, .num_tokens = num_tokens, .num_past = 0, .pages = {to}};
  for (KvLayer& layer : layers_) {
    const Shape& shape = layer.key_pages.shape();
    const Shape by_token{shape[0] * shape[1], shape[2], shape[3]};
    const Tensor keys = ops::gather_rows(ctx, layer.key_pages.reshape(by_token), rows);
    const Tensor values = ops::gather_rows(ctx, layer.value_pages.reshape(by_token), rows);
    ops::kv_write(ctx, layer, keys, values, {&target, 1});
  }
}

}  // namespace llava::engine
