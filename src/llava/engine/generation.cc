// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/generation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "llava/core/error.h"

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
  const auto require = [](bool holds, std::string_view what, double found,
                          std::string_view expected) {
    if (!holds) fail(ErrorCode::kInvalidArgument, "{} is {}, expected {}", what, found, expected);
  };
  require(params.sampling.temperature >= 0.0f, "temperature",
          static_cast<double>(params.sampling.temperature), "at least 0");
  require(params.sampling.top_k >= 0, "top-k", params.sampling.top_k, "at least 0");
  require(params.sampling.top_p > 0.0f && params.sampling.top_p <= 1.0f, "top-p",
          static_cast<double>(params.sampling.top_p), "above 0 and at most 1");
  require(params.sampling.repetition_penalty > 0.0f, "repetition penalty",
          static_cast<double>(params.sampling.repetition_penalty), "above 0");
  require(params.max_new_tokens >= 1, "max-new-tokens", params.max_new_tokens, "at least 1");
  require(params.num_beams >= 1 && params.num_beams <= 256, "num-beams", params.num_beams,
          "from 1 to 256");
}

void process_logits(std::span<float> logits, const GenerationParams& params,
                    std::span<const int32_t> new_ids) {
  if (std::any_of(logits.begin(), logits.end(), [](float value) { return std::isnan(value); })) {
    fail(ErrorCode::kBadFormat,
         "the model's scores for token {} of the answer are not numbers: its weights are damaged, "
         "or too large for the compute type; try --dtype float32",
         new_ids.size() + 1);
  }
  if (params.num_allowed_ids > 0) {
    for (auto i = static_cast<std::size_t>(params.num_allowed_ids); i < logits.size(); ++i) {
      logits[i] = -std::numeric_limits<float>::infinity();
    }
  }
  if (params.sampling.repetition_penalty == 1.0f) return;
  std::vector<int32_t> seen = params.penalty_ids;
  seen.insert(seen.end(), new_ids.begin(), new_ids.end());
  apply_repetition_penalty(logits, seen, params.sampling.repetition_penalty);
}

Generated generate(TokenModel& model, int32_t sequence, std::vector<float> first_logits,
                   const GenerationParams& params, const TokenCallback& on_token,
                   const LogitsCallback& on_logits, std::stop_token stop) {
  validate(params);
  Generator generator(params.seed);
  Generated result;
  std::vector<float> logits = std::move(first_logits);
  for (;;) {
    if (stop.stop_requested()) {
      result.finish_reason = FinishReason::kCancelled;
      return result;
    }
    if (on_logits) on_logits(logits);
    process_logits(logits, params, result.ids);
    int32_t id = 0;
    if (params.sampling.is_greedy()) {
      id = argmax(logits);
    } else {
      filter_logits(logits, params.sampling);
      id = draw(logits, generator);
    }
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
