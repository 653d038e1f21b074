// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/bench/cached_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "llava/core/check.h"
#include "llava/engine/scheduler.h"

namespace llava::engine {
namespace {

// That of the engine, unless its flag says otherwise.
constexpr int32_t kPageSize = 16;

int32_t pages_for(int64_t num_tokens) {
  return static_cast<int32_t>((num_tokens + kPageSize - 1) / kPageSize);
}

}  // namespace

CachedModel::CachedModel(Context& ctx, const model::LlavaModel& model, DType kv_dtype,
                         int64_t num_tokens, int64_t tokens_per_sequence, int64_t num_sequences)
    : ctx_(ctx),
      model_(model),
      blocks_(std::max(pages_for(num_tokens),
                       static_cast<int32_t>(num_sequences) * pages_for(tokens_per_sequence)),
              kPageSize),
      pages_(ctx, model.config.decoder, kv_dtype, blocks_.num_pages(), kPageSize) {}

SequenceSlice CachedModel::extend(CachedSequence& sequence, int32_t num_new, int32_t first_token) {
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

void CachedModel::release(CachedSequence& sequence) {
  for (const int32_t page : sequence.pages) blocks_.release(page);
  sequence = {};
}

std::vector<float> CachedModel::append(CachedSequence& sequence, const Tensor& x_TD) {
  const auto num_tokens = static_cast<int32_t>(x_TD.dim(0));
  LLAVA_CHECK(num_tokens > 0);
  const SequenceSlice slice = extend(sequence, num_tokens, 0);
  std::vector<int32_t> positions(static_cast<std::size_t>(num_tokens));
  std::iota(positions.begin(), positions.end(), slice.num_past);
  KvCacheView view = pages_.view();
  const Tensor hidden_TD = model_.decode(ctx_, x_TD, positions, {&slice, 1}, &view);
  const Tensor logits = model_.logits(ctx_, hidden_TD.rows(num_tokens - 1, num_tokens));
  const Tensor host = host_to_float32(ops::to_host(ctx_, logits));
  return {host.data<float>().begin(), host.data<float>().end()};
}

std::vector<float> CachedModel::append(CachedSequence& sequence, std::span<const int32_t> ids) {
  // In the engine's chunks: they bound the memory that a step works with.
  const auto chunk = static_cast<std::size_t>(SchedulerConfig{}.chunked_prefill_size);
  std::vector<float> logits;
  do {
    const std::span<const int32_t> part = ids.first(std::min(chunk, ids.size()));
    logits = append(sequence, model_.embed(ctx_, part, Tensor(), {}));
    ids = ids.subspan(part.size());
  } while (!ids.empty());
  return logits;
}

Tensor CachedModel::step(std::span<CachedSequence> sequences, std::span<const int32_t> ids) {
  LLAVA_CHECK(sequences.size() == ids.size());
  std::vector<int32_t> positions;
  std::vector<SequenceSlice> slices;
  for (CachedSequence& sequence : sequences) {
    positions.push_back(sequence.num_tokens);
    slices.push_back(extend(sequence, 1, static_cast<int32_t>(slices.size())));
  }
  const Tensor x_TD = model_.embed(ctx_, ids, Tensor(), {});
  KvCacheView view = pages_.view();
  const Tensor hidden_TD = model_.decode(ctx_, x_TD, positions, slices, &view);
  return host_to_float32(ops::to_host(ctx_, model_.logits(ctx_, hidden_TD)));
}

void CachedModel::rewind(CachedSequence& sequence, int32_t num_tokens) {
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
