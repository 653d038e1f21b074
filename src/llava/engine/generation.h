// SPDX-License-Identifier: Apache-2.0
//
// Generation settings and results, and the loop that turns logits into tokens.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "llava/engine/sampler.h"
#include "llava/engine/token_model.h"

namespace llava::engine {

enum class FinishReason : uint8_t { kEndToken, kStopString, kLength, kCancelled };

/// "stop", "stop_string", "length" or "cancelled".
std::string_view finish_reason_name(FinishReason reason) noexcept;

/// When a beam search with enough finished hypotheses ends: as soon as there are enough (true),
/// when no running beam can beat the worst one at its present length (false), or, with a positive
/// length penalty, when none can at any length ("never").
enum class EarlyStopping : uint8_t { kFalse, kTrue, kNever };

/// How one answer is generated.
struct GenerationParams {
  SamplingParams sampling;
  int32_t max_new_tokens = 512;
  int32_t num_beams = 1;
  float length_penalty = 1.0f;
  EarlyStopping early_stopping = EarlyStopping::kFalse;
  /// Ids that end the answer; the end token is part of the ids returned.
  std::vector<int32_t> end_ids;
  /// Ids that the repetition penalty counts besides the new ones.
  std::vector<int32_t> penalty_ids;
  /// Ids at and above this one are never chosen (rows of the table beyond the tokenizer); 0: none.
  int32_t num_allowed_ids = 0;
};

/// New ids and why they ended.
struct Generated {
  std::vector<int32_t> ids;
  FinishReason finish_reason = FinishReason::kLength;
  /// Beam search: the score of the answer, sum of log-probabilities / length^length_penalty.
  double score = 0;
};

/// Called with each new id as it is chosen; returning false ends the answer with kStopString. Beam
/// search calls it once for every id of the best beam, at the end.
using TokenCallback = std::function<bool(int32_t id)>;

/// Called with the raw logits of each step, for margins and logprobs. May be
/// empty.
using LogitsCallback = std::function<void(std::span<const float> logits)>;

/// Greedy decoding or sampling of one sequence whose prompt is already in the model.
///
/// `first_logits` follow the prompt. Checks `stop` before every step.
/// Throws: Error(kInvalidArgument) for settings out of range, Error(kBadFormat) for logits that are
/// not numbers.   Threads: those of `model`.
Generated generate(TokenModel& model, int32_t sequence, std::vector<float> first_logits,
                   const GenerationParams& params, const TokenCallback& on_token,
                   const LogitsCallback& on_logits, std::stop_token stop);

/// Beam search over a model whose sequences it may fork; see beam_search.h.
Generated beam_search(TokenModel& model, int32_t sequence, std::vector<float> first_logits,
                      const GenerationParams& params, std::stop_token stop);

/// Names the first setting that cannot be. Throws: Error(kInvalidArgument).
void validate(const GenerationParams& params);

}  // namespace llava::engine
