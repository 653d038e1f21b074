// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/kv_cache.h"

#include <numeric>

#include "llava/core/check.h"

namespace llava::engine {

KvCache::KvCache(Context& ctx, const model::DecoderConfig& config, DType dtype, int32_t num_pages)
    : blocks_(num_pages, kKvPageSize) {
  const Shape shape{num_pages, kKvPageSize, config.num_key_value_heads, config.head_dim};
  for (int32_t i = 0; i < config.num_hidden_layers; ++i) {
    layers_.push_back({ops::empty(ctx, shape, dtype), ops::empty(ctx, shape, dtype)});
  }
}

int32_t KvCache::pages_for(int64_t num_tokens) {
  return static_cast<int32_t>((num_tokens + kKvPageSize - 1) / kKvPageSize);
}

int64_t KvCache::bytes_per_token(const model::DecoderConfig& config, DType dtype) {
  return int64_t{2} * config.num_hidden_layers * config.num_key_value_heads * config.head_dim *
         item_size(dtype);
}

SequenceSlice KvCache::extend(KvSequence& sequence, int32_t num_new, int32_t first_token) {
  const int32_t needed = pages_for(int64_t{sequence.num_tokens} + num_new);
  while (static_cast<int32_t>(sequence.pages.size()) < needed) {
    sequence.pages.push_back(blocks_.allocate());
  }
  SequenceSlice slice{.first_token = first_token,
                      .num_tokens = num_new,
                      .num_past = sequence.num_tokens,
                      .pages = sequence.pages};
  sequence.num_tokens += num_new;
  return slice;
}

KvSequence KvCache::fork(Context& ctx, const KvSequence& sequence) {
  KvSequence copy;
  copy.num_tokens = sequence.num_tokens;
  const int32_t num_full = sequence.num_tokens / kKvPageSize;
  for (int32_t i = 0; i < num_full; ++i) {
    const int32_t page = sequence.pages[static_cast<std::size_t>(i)];
    blocks_.retain(page);
    copy.pages.push_back(page);
  }
  const int32_t num_partial = sequence.num_tokens % kKvPageSize;
  if (num_partial > 0) {
    copy.pages.push_back(blocks_.allocate());
    copy_page(ctx, sequence.pages[static_cast<std::size_t>(num_full)], copy.pages.back(),
              num_partial);
  }
  return copy;
}

void KvCache::release(KvSequence& sequence) {
  for (const int32_t page : sequence.pages) blocks_.release(page);
  sequence = {};
}

void KvCache::copy_page(Context& ctx, int32_t from, int32_t to, int32_t num_tokens) {
  std::vector<int32_t> rows(static_cast<std::size_t>(num_tokens));
  std::iota(rows.begin(), rows.end(), from * kKvPageSize);
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
