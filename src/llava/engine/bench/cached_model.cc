// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/bench/cached_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "llava/core/check.h"

namespace llava::engine {

CachedModel::CachedModel(Context& ctx, const model::LlavaModel& model, DType kv_dtype,
                         int64_t num_tokens, int64_t tokens_per_sequence, int64_t num_sequences)
    : ctx_(ctx),
      model_(model),
      cache_(
          ctx, model.config.decoder, kv_dtype,
          std::max(KvCache::pages_for(num_tokens), static_cast<int32_t>(num_sequences) *
                                                       KvCache::pages_for(tokens_per_sequence))) {}

std::vector<float> CachedModel::append(KvSequence& sequence, const Tensor& x_TD) {
  const auto num_tokens = static_cast<int32_t>(x_TD.dim(0));
  LLAVA_CHECK(num_tokens > 0);
  const SequenceSlice slice = cache_.extend(sequence, num_tokens, 0);
  std::vector<int32_t> positions(static_cast<std::size_t>(num_tokens));
  std::iota(positions.begin(), positions.end(), slice.num_past);
  KvCacheView view = cache_.view();
  const Tensor hidden_TD = model_.decode(ctx_, x_TD, positions, {&slice, 1}, &view);
  const Tensor logits = model_.logits(ctx_, hidden_TD.rows(num_tokens - 1, num_tokens));
  const Tensor host = host_to_float32(ops::to_host(ctx_, logits));
  return {host.data<float>().begin(), host.data<float>().end()};
}

std::vector<float> CachedModel::append(KvSequence& sequence, std::span<const int32_t> ids) {
  return append(sequence, model_.embed(ctx_, ids, Tensor(), {}));
}

Tensor CachedModel::step(std::span<KvSequence> sequences, std::span<const int32_t> ids) {
  LLAVA_CHECK(sequences.size() == ids.size());
  std::vector<int32_t> positions;
  std::vector<SequenceSlice> slices;
  for (KvSequence& sequence : sequences) {
    positions.push_back(sequence.num_tokens);
    slices.push_back(cache_.extend(sequence, 1, static_cast<int32_t>(slices.size())));
  }
  const Tensor x_TD = model_.embed(ctx_, ids, Tensor(), {});
  KvCacheView view = cache_.view();
  const Tensor hidden_TD = model_.decode(ctx_, x_TD, positions, slices, &view);
  return host_to_float32(ops::to_host(ctx_, model_.logits(ctx_, hidden_TD)));
}

void CachedModel::rewind(KvSequence& sequence, int32_t num_tokens) {
  LLAVA_CHECK(num_tokens <= sequence.num_tokens);
  sequence.num_tokens = num_tokens;
}

int32_t most_likely(std::span<const float> logits) {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (!std::isfinite(*best)) {
    fail(
        ErrorCode::kBadFormat,
        "the model's logits are not finite numbers: its weights are damaged, or a kernel is wrong");
  }
  return static_cast<int32_t>(best - logits.begin());
}

}  // namespace llava::engine
