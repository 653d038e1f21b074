// SPDX-License-Identifier: Apache-2.0
//
// Log-probabilities of tokens from float32 logits, in float64: of chosen tokens and of given
// answers alike.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llava/engine/token_chooser.h"

namespace llava::engine {

/// log(sum(exp(logits))). A token's log-probability is its logit less this.
///
/// Throws: Error(kInternal) for an empty span.
double log_sum_exp(std::span<const float> logits);

/// The most likely tokens, at most `count`, the lower id first on a tie.
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int32_t count,
                                       double log_total);

}  // namespace llava::engine
