// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/sglang/prompt_scores.h"

#include <algorithm>

#include "llava/serve/protocol/api_error.h"

namespace llava::serve {

bool split_for_scores(engine::GenerationRequest& request, int32_t start) {
  std::vector<int32_t>& ids = request.prompt.ids;
  const std::size_t num_context = static_cast<std::size_t>(start) + 1;
  if (num_context >= ids.size()) return false;
  for (const text::ImageSpan& image : request.prompt.images) {
    if (static_cast<std::size_t>(image.offset + image.num_tokens) <= num_context) continue;
    throw ApiError(400, "unsupported_parameter",
                   fmt::format("logprob_start_len: is {}, in front of a picture that ends at {}: "
                               "only what stands behind all pictures has log-probabilities",
                               start, image.offset + image.num_tokens),
                   "logprob_start_len");
  }
  const auto middle = ids.begin() + static_cast<std::ptrdiff_t>(num_context);
  request.scored_answers = {std::vector<int32_t>(middle, ids.end())};
  ids.erase(middle, ids.end());
  return true;
}

void PromptScores::add(std::span<const engine::TokenChoice> tokens) {
  for (const engine::TokenChoice& token : tokens) tokens_.push_back({token.id, token.logprob});
}

void PromptScores::write(const text::Tokenizer& tokenizer, OrderedJson& meta) const {
  OrderedJson with_ids = OrderedJson::array();
  OrderedJson values = OrderedJson::array();
  double sum = 0;
  int64_t count = 0;
  for (const Token& token : tokens_) {
    const OrderedJson value = token.logprob ? OrderedJson(*token.logprob) : OrderedJson();
    with_ids.push_back({value, token.id, tokenizer.token_text(token.id)});
    values.push_back(value);
    if (!token.logprob) continue;
    sum += *token.logprob;
    ++count;
  }
  meta["input_token_logprobs"] = std::move(with_ids);
  meta["prompt_logprob"] = std::move(values);
  meta["normalized_prompt_logprob"] = count > 0 ? sum / static_cast<double>(count) : 0.0;
}

}  // namespace llava::serve
