// SPDX-License-Identifier: Apache-2.0
#include "llava/train/greedy_answers.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "llava/backend/torch/torch_tensor.h"

namespace llava::train {
namespace {

// One page a sequence, long enough for its prompt and answer: no page table to keep.
std::vector<KvLayer> make_pages(Context& ctx, const model::LlavaModel& model, int64_t num_sequences,
                                int64_t length) {
  const model::DecoderConfig& config = model.config.decoder;
  const Shape shape{num_sequences, length, config.num_key_value_heads, config.head_dim};
  std::vector<KvLayer> layers(static_cast<std::size_t>(config.num_hidden_layers));
  for (KvLayer& layer : layers) {
    layer.key_pages = ops::empty(ctx, shape, model.dtype());
    layer.value_pages = ops::empty(ctx, shape, model.dtype());
  }
  return layers;
}

// The most likely token of each row: [N, D] -> N.
std::vector<int32_t> most_likely(Context& ctx, const model::LlavaModel& model,
                                 const Tensor& hidden_ND) {
  const at::Tensor ids = to_at(model.logits(ctx, hidden_ND)).argmax(1).to(at::kCPU);
  const auto* first = ids.const_data_ptr<int64_t>();
  return {first, first + ids.numel()};
}

}  // namespace

std::vector<std::vector<int32_t>> greedy_answers(Context& ctx, const model::LlavaModel& model,
                                                 const data::FlatBatch& prompts,
                                                 const PassOptions& options, int32_t max_new_tokens,
                                                 const AnswerIsOver& is_over) {
  const at::NoGradGuard no_grad;
  const std::size_t num_sequences = prompts.parts.size();
  std::vector<std::vector<int32_t>> answers(num_sequences);
  if (num_sequences == 0) return answers;
  std::vector<KvLayer> pages =
      make_pages(ctx, model, static_cast<int64_t>(num_sequences),
                 std::ranges::max(prompts.parts, {}, &data::BatchPart::num_rows).num_rows +
                     int64_t{max_new_tokens});
  KvCacheView cache{pages};

  // Which sequence each slice of the present batch is, and the slices.
  std::vector<std::size_t> owners;
  std::vector<SequenceSlice> slices;
  std::vector<int32_t> last_rows;
  for (std::size_t i = 0; i < num_sequences; ++i) {
    const int32_t first = slices.empty() ? 0 : last_rows.back() + 1;
    slices.push_back({.first_token = first,
                      .num_tokens = prompts.parts[i].num_rows,
                      .num_past = 0,
                      .pages = {static_cast<int32_t>(i)}});
    owners.push_back(i);
    last_rows.push_back(first + prompts.parts[i].num_rows - 1);
  }
  Tensor x_TD = embed_batch(ctx, model, prompts, options);
  std::vector<int32_t> positions = prompts.positions;
  while (true) {
    const Tensor hidden_TD = model.decode(ctx, x_TD, positions, slices, &cache);
    const std::vector<int32_t> ids =
        most_likely(ctx, model, ops::gather_rows(ctx, hidden_TD, last_rows));
    std::vector<SequenceSlice> running;
    std::vector<std::size_t> running_owners;
    std::vector<int32_t> next_ids;
    for (std::size_t k = 0; k < owners.size(); ++k) {
      std::vector<int32_t>& answer = answers[owners[k]];
      answer.push_back(ids[k]);
      if (static_cast<int32_t>(answer.size()) == max_new_tokens || is_over(owners[k], answer)) {
        continue;
      }
      running.push_back({.first_token = static_cast<int32_t>(running.size()),
                         .num_tokens = 1,
                         .num_past = slices[k].num_past + slices[k].num_tokens,
                         .pages = slices[k].pages});
      running_owners.push_back(owners[k]);
      next_ids.push_back(ids[k]);
    }
    if (running.empty()) return answers;
    slices = std::move(running);
    owners = std::move(running_owners);
    last_rows.clear();
    positions.clear();
    for (const SequenceSlice& slice : slices) {
      last_rows.push_back(slice.first_token);
      positions.push_back(slice.num_past);
    }
    x_TD = model.embed(ctx, next_ids, Tensor(), {});
  }
}

}  // namespace llava::train
