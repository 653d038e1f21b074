// SPDX-License-Identifier: Apache-2.0
//
// Most likely answers of a model in training, by the weights it has at the time.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "llava/train/forward_pass.h"

namespace llava::train {

/// Whether the answer of a sequence of the batch, by the ids it has so far, is complete.
using AnswerIsOver = std::function<bool(std::size_t sequence, std::span<const int32_t> ids)>;

/// Continues each sequence of a batch of prompts with the most likely tokens, all of them together,
/// until `is_over` or `max_new_tokens`. Nothing is recorded and no random number is drawn. The
/// prompts' keys and values are held for as long as it runs.
///
/// Returns the new ids of each sequence, the one that ended it included.
std::vector<std::vector<int32_t>> greedy_answers(Context& ctx, const model::LlavaModel& model,
                                                 const data::FlatBatch& prompts,
                                                 const PassOptions& options, int32_t max_new_tokens,
                                                 const AnswerIsOver& is_over);

}  // namespace llava::train
