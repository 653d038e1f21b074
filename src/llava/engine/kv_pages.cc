// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/kv_pages.h"

#include <numeric>
#include <utility>

namespace llava::engine {

KvPages::KvPages(Context& ctx, const model::DecoderConfig& config, DType dtype, int32_t num_pages,
                 int32_t page_size)
    : page_size_(page_size) {
  const Shape shape{num_pages, page_size, config.num_key_value_heads, config.head_dim};
  const Shape scales{num_pages, page_size, config.num_key_value_heads};
  for (int32_t i = 0; i < config.num_hidden_layers; ++i) {
    KvLayer layer{ops::empty(ctx, shape, dtype), ops::empty(ctx, shape, dtype)};
    if (dtype == DType::kInt8) {
      layer.key_scales = ops::empty(ctx, scales, DType::kFloat32);
      layer.value_scales = ops::empty(ctx, scales, DType::kFloat32);
    }
    layers_.push_back(std::move(layer));
  }
}

int64_t KvPages::bytes_per_token(const model::DecoderConfig& config, DType dtype) {
  const int64_t per_head =
      config.head_dim * item_size(dtype) + (dtype == DType::kInt8 ? item_size(DType::kFloat32) : 0);
  return int64_t{2} * config.num_hidden_layers * config.num_key_value_heads * per_head;
}

void KvPages::copy(Context& ctx, int32_t from, int32_t to, int32_t num_tokens) {
  std::vector<int32_t> rows(static_cast<std::size_t>(num_tokens));
  std::iota(rows.begin(), rows.end(), from * page_size_);
  for (KvLayer& layer : layers_) {
    for (Tensor* pages :
         {&layer.key_pages, &layer.value_pages, &layer.key_scales, &layer.value_scales}) {
      if (!pages->is_defined()) continue;
      Shape by_token = pages->shape();
      by_token.erase(by_token.begin());
      by_token.front() = -1;
      Tensor tokens = pages->reshape(by_token);
      ops::write_rows(ctx, tokens, int64_t{to} * page_size_, ops::gather_rows(ctx, tokens, rows));
    }
  }
}

}  // namespace llava::engine
