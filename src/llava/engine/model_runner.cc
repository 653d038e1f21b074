// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/model_runner.h"

#include <numeric>

#include "llava/core/check.h"

namespace llava::engine {
namespace {

int32_t num_pages(int64_t num_prompt_tokens, int64_t num_new_tokens, int32_t num_sequences) {
  if (num_sequences == 1) return KvCache::pages_for(num_prompt_tokens + num_new_tokens);
  // Beams share the prompt's full pages. Each owns the rest, and a fork lives beside its parent
  // until the parent is released.
  const int64_t own = KvCache::pages_for(num_new_tokens) + 1;
  return KvCache::pages_for(num_prompt_tokens) +
         static_cast<int32_t>(own * (int64_t{2} * num_sequences));
}

std::vector<std::vector<float>> host_rows(Context& ctx, const Tensor& logits_TV) {
  const Tensor host = host_to_float32(ops::to_host(ctx, logits_TV));
  const auto values = host.data<float>();
  const auto width = static_cast<std::size_t>(host.dim(1));
  std::vector<std::vector<float>> rows;
  for (std::size_t begin = 0; begin < values.size(); begin += width) {
    const auto row = values.subspan(begin, width);
    rows.emplace_back(row.begin(), row.end());
  }
  return rows;
}

}  // namespace

ModelRunner::ModelRunner(Context& ctx, const model::LlavaModel& model, int64_t num_prompt_tokens,
                         int64_t num_new_tokens, int32_t num_sequences)
    : ctx_(ctx),
      model_(model),
      cache_(ctx, model.config.decoder, model.dtype(),
             num_pages(num_prompt_tokens, num_new_tokens, num_sequences)) {}

Tensor ModelRunner::embed(const PromptInputs& prompt, const model::Observer& observer) const {
  Tensor rows;
  if (prompt.pixels_ICHW.is_defined()) {
    rows = model_.merge_tiles(ctx_, model_.encode_tiles(ctx_, prompt.pixels_ICHW, observer),
                              prompt.layouts);
  }
  return model_.embed(ctx_, prompt.ids, rows, prompt.runs);
}

int32_t ModelRunner::prefill(const Tensor& embeds_TD, std::vector<float>& logits) {
  const int32_t handle = next_sequence_++;
  KvSequence& sequence = sequences_[handle];
  const auto num_tokens = static_cast<int32_t>(embeds_TD.dim(0));
  LLAVA_CHECK(num_tokens > 0);
  const SequenceSlice slice = cache_.extend(sequence, num_tokens, 0);
  std::vector<int32_t> positions(static_cast<std::size_t>(num_tokens));
  std::iota(positions.begin(), positions.end(), 0);
  KvCacheView view = cache_.view();
  const Tensor hidden_TD = model_.decode(ctx_, embeds_TD, positions, {&slice, 1}, &view);
  const Tensor last_TD = hidden_TD.rows(num_tokens - 1, num_tokens);
  logits = std::move(host_rows(ctx_, model_.logits(ctx_, last_TD)).front());
  return handle;
}

std::vector<std::vector<float>> ModelRunner::step(std::span<const SequenceToken> tokens) {
  std::vector<int32_t> ids, positions;
  std::vector<SequenceSlice> slices;
  for (const SequenceToken& entry : tokens) {
    KvSequence& sequence = sequences_.at(entry.sequence);
    ids.push_back(entry.token);
    positions.push_back(sequence.num_tokens);
    slices.push_back(cache_.extend(sequence, 1, static_cast<int32_t>(slices.size())));
  }
  const Tensor x_TD = model_.embed(ctx_, ids, Tensor(), {});
  KvCacheView view = cache_.view();
  return host_rows(ctx_, model_.logits(ctx_, model_.decode(ctx_, x_TD, positions, slices, &view)));
}

int32_t ModelRunner::fork(int32_t sequence) {
  const int32_t handle = next_sequence_++;
  KvSequence copy = cache_.fork(ctx_, sequences_.at(sequence));
  sequences_[handle] = std::move(copy);
  return handle;
}

void ModelRunner::release(int32_t sequence) {
  const auto it = sequences_.find(sequence);
  LLAVA_CHECK(it != sequences_.end(), "sequence {}", sequence);
  cache_.release(it->second);
  sequences_.erase(it);
}

}  // namespace llava::engine
