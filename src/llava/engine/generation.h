// SPDX-License-Identifier: Apache-2.0
//
// Generation settings and results.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "llava/engine/sampler.h"

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

/// Names the first setting that cannot be. Throws: Error(kInvalidArgument).
void validate(const GenerationParams& params);

}  // namespace llava::engine
