// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/generation.h"

#include <algorithm>
#include <cmath>

#include "llava/core/error.h"

namespace llava::engine {
std::string_view finish_reason_name(FinishReason reason) noexcept {
  switch (reason) {
    case FinishReason::kEndToken:
      return "stop";
    case FinishReason::kStopString:
      return "stop_string";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "length";
}

void validate(const GenerationParams& params) {
  const auto require = [](bool holds, std::string_view what, auto found,
                          std::string_view expected) {
    if (!holds) fail(ErrorCode::kInvalidArgument, "{} is {}, expected {}", what, found, expected);
  };
  const SamplingParams& sampling = params.sampling;
  require(sampling.temperature >= 0.0f && std::isfinite(sampling.temperature), "temperature",
          sampling.temperature, "a number of at least 0");
  require(sampling.top_k >= 0, "top-k", sampling.top_k, "at least 0");
  require(sampling.top_p > 0.0f && sampling.top_p <= 1.0f, "top-p", sampling.top_p,
          "above 0 and at most 1");
  require(sampling.min_p >= 0.0f && sampling.min_p <= 1.0f, "min-p", sampling.min_p, "from 0 to 1");
  require(sampling.repetition_penalty > 0.0f && std::isfinite(sampling.repetition_penalty),
          "repetition penalty", sampling.repetition_penalty, "a number above 0");
  require(std::abs(sampling.presence_penalty) <= 2.0f, "presence penalty",
          sampling.presence_penalty, "from -2 to 2");
  require(std::abs(sampling.frequency_penalty) <= 2.0f, "frequency penalty",
          sampling.frequency_penalty, "from -2 to 2");
  require(sampling.min_tokens >= 0, "min-tokens", sampling.min_tokens, "at least 0");
  for (const TokenBias& entry : sampling.logit_bias) {
    require(entry.id >= 0, "a token id of the logit bias", entry.id, "at least 0");
    require(params.num_allowed_ids <= 0 || entry.id < params.num_allowed_ids,
            "a token id of the logit bias", entry.id, "an id of the vocabulary");
    require(std::abs(entry.bias) <= 100.0f, "a logit bias", entry.bias, "from -100 to 100");
  }
  require(params.max_new_tokens >= 1, "max-new-tokens", params.max_new_tokens, "at least 1");
  require(params.num_beams >= 1 && params.num_beams <= 256, "num-beams", params.num_beams,
          "from 1 to 256");
}

}  // namespace llava::engine
