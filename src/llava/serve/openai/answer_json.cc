// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/openai/answer_json.h"

#include <algorithm>
#include <cmath>

#include "llava/text/utf8.h"

namespace llava::serve {
namespace {

/// JSON has no infinity; vLLM writes this.
constexpr double kLeastLogprob = -9999.0;

OrderedJson token_json(const text::Tokenizer& tokenizer, int32_t id, float logprob, bool is_first) {
  const std::string bytes = tokenizer.token_bytes(id, is_first).value_or(tokenizer.token_text(id));
  OrderedJson json;
  json["token"] = text::replace_invalid_utf8(bytes);
  json["logprob"] = std::isfinite(logprob) ? static_cast<double>(logprob) : kLeastLogprob;
  OrderedJson numbers = OrderedJson::array();
  for (const char byte : bytes) numbers.push_back(static_cast<unsigned char>(byte));
  json["bytes"] = std::move(numbers);
  return json;
}

}  // namespace

OrderedJson head_json(const AnswerHead& head, std::string_view object) {
  return {{"id", head.id},
          {"object", object},
          {"created", head.created},
          {"model", head.model},
          {"system_fingerprint", head.fingerprint}};
}

OrderedJson usage_json(const engine::AnswerUsage& usage, int32_t image_tokens) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details",
           {{"cached_tokens", usage.cached_tokens}, {"image_tokens", image_tokens}}}};
}

OrderedJson timings_json(const engine::AnswerUsage& usage) {
  const int32_t computed = usage.prompt_tokens - usage.cached_tokens;
  return {{"cache_n", usage.cached_tokens},
          {"prompt_n", computed},
          {"prompt_ms", std::max(0.0, usage.first_token_ms - usage.queue_ms)},
          {"predicted_n", usage.completion_tokens},
          {"predicted_ms", usage.decode_ms},
          {"queue_ms", usage.queue_ms},
          {"encode_ms", usage.encode_ms},
          {"draft_n", usage.draft_tokens},
          {"draft_n_accepted", usage.accepted_tokens}};
}

std::string_view finish_reason_word(engine::FinishReason reason) {
  return reason == engine::FinishReason::kLength ? "length" : "stop";
}

OrderedJson logprobs_json(const text::Tokenizer& tokenizer,
                          const std::vector<engine::TokenChoice>& tokens, bool is_first) {
  OrderedJson content = OrderedJson::array();
  for (const engine::TokenChoice& token : tokens) {
    OrderedJson entry = token_json(tokenizer, token.id, token.logprob, is_first);
    OrderedJson top = OrderedJson::array();
    for (const engine::TokenLogprob& other : token.top) {
      top.push_back(token_json(tokenizer, other.id, other.logprob, is_first));
    }
    entry["top_logprobs"] = std::move(top);
    content.push_back(std::move(entry));
    is_first = false;
  }
  return content;
}

}  // namespace llava::serve
