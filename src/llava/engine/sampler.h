// SPDX-License-Identifier: Apache-2.0
//
// Sampling settings, and the published library's steps from logits to tokens, which beam search
// takes. What chooses the tokens of a single sequence is TokenChooser. All on float32 host values.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "llava/core/random.h"

namespace llava::engine {

/// The logit of a token that cannot be chosen.
inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

/// What is added to the logit of one token.
struct TokenBias {
  int32_t id = 0;
  float bias = 0;

  friend bool operator==(const TokenBias&, const TokenBias&) = default;
};

/// How the next token is chosen. temperature 0 means greedy: the most likely token, the lowest id
/// on a tie.
struct SamplingParams {
  float temperature = 0.0f;
  int32_t top_k = 50;  ///< 0: all
  float top_p = 1.0f;
  float min_p = 0.0f;  ///< least probability, as a share of the most likely token's
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;   ///< taken once from tokens that occur in the answer
  float frequency_penalty = 0.0f;  ///< taken for every time they occur
  std::vector<TokenBias> logit_bias;
  int32_t min_tokens = 0;  ///< no end token before this many others
  uint64_t seed = 0;
  /// Most likely tokens to report beside the chosen one's log-probability; -1: report nothing.
  int32_t num_logprobs = -1;

  bool is_greedy() const { return temperature <= 0.0f; }
};

/// Divides positive and multiplies negative logits of the given ids by the penalty
/// (arXiv:1909.05858, as published). Ids outside the vocabulary are ignored.
void apply_repetition_penalty(std::span<float> logits, std::span<const int32_t> ids, float penalty);

/// Keeps what temperature, top-k and top-p leave; the rest becomes minus infinity.
void filter_logits(std::span<float> logits, const SamplingParams& params);

/// Index of the largest value, the first on a tie. Throws: Error(kInternal) for an empty span.
int32_t argmax(std::span<const float> logits);

/// log(softmax(logits)), computed in float64.
std::vector<float> log_softmax(std::span<const float> logits);

/// One draw from softmax(logits).
///
/// Throws: Error(kInternal) when no value is finite.
int32_t draw(std::span<const float> logits, Generator& generator);

/// Draws `count` distinct ids from softmax(logits), in the order drawn.
std::vector<int32_t> draw_without_replacement(std::span<const float> logits, int32_t count,
                                              Generator& generator);

}  // namespace llava::engine
