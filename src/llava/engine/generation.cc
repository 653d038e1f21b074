// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/generation.h"

#include <algorithm>
#include <cmath>

#include "llava/core/error.h"
#include "llava/engine/token_chooser.h"

namespace llava::engine {
namespace {

bool contains(const std::vector<int32_t>& ids, int32_t id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

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

Generated generate(TokenModel& model, int32_t sequence, std::vector<float> first_logits,
                   const GenerationParams& params, const TokenCallback& on_token,
                   const LogitsCallback& on_logits, std::stop_token stop) {
  validate(params);
  TokenChooser chooser(params.sampling, {.end_ids = params.end_ids,
                                         .penalty_ids = params.penalty_ids,
                                         .num_ids = params.num_allowed_ids});
  ChooserScratch scratch;
  Generated result;
  std::vector<float> logits = std::move(first_logits);
  for (;;) {
    if (stop.stop_requested()) {
      result.finish_reason = FinishReason::kCancelled;
      return result;
    }
    if (on_logits) on_logits(logits);
    const int32_t id = chooser.choose(logits, scratch).id;
    chooser.accept(id);
    result.ids.push_back(id);
    const bool goes_on = !on_token || on_token(id);
    if (contains(params.end_ids, id)) {
      result.finish_reason = FinishReason::kEndToken;
      return result;
    }
    if (!goes_on) {
      result.finish_reason = FinishReason::kStopString;
      return result;
    }
    if (static_cast<int32_t>(result.ids.size()) >= params.max_new_tokens) {
      result.finish_reason = FinishReason::kLength;
      return result;
    }
    const SequenceToken next{sequence, id};
    logits = std::move(model.step({&next, 1}).front());
  }
}

}  // namespace llava::engine
