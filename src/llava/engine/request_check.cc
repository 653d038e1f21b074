// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/request_check.h"

#include <span>

#include "llava/core/check.h"
#include "llava/core/error.h"

namespace llava::engine {
namespace {

void check_ids(std::span<const int32_t> ids, int32_t num_vocab) {
  for (const int32_t id : ids) {
    if (id >= 0 && id < num_vocab) continue;
    fail(ErrorCode::kInvalidArgument, "token id {} is outside the vocabulary of {}", id, num_vocab);
  }
}

void check_look(const GenerationRequest& request, const RequestBounds& bounds) {
  const LookRequest& look = *request.look;
  if (request.prompt.images.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "the prompt shows no picture: there is nothing that the answer could have looked at");
  }
  if (look.answer.empty()) fail(ErrorCode::kInvalidArgument, "the answer to look for is empty");
  check_ids(look.answer, bounds.num_vocab);
  if (look.layer != model::kAllLayers && (look.layer < 0 || look.layer >= bounds.num_layers)) {
    fail(ErrorCode::kInvalidArgument, "layer is {}, but the model has the layers 0 to {}",
         look.layer, bounds.num_layers - 1);
  }
  const auto num_answer = static_cast<int64_t>(look.answer.size());
  const auto num_tokens = static_cast<int64_t>(request.prompt.ids.size()) + num_answer - 1;
  if (num_tokens > bounds.capacity_tokens) {
    fail(ErrorCode::kInvalidArgument,
         "prompt and answer have {} tokens, but the KV cache holds {}: give it more memory",
         num_tokens, bounds.capacity_tokens);
  }
  const int64_t num_picture_tokens = request.num_picture_tokens();
  if (num_answer * num_picture_tokens > kMaxLookNumbers) {
    fail(ErrorCode::kInvalidArgument,
         "{} tokens of the answer times {} of pictures are more than {} numbers: ask for at most "
         "{} tokens at a time",
         num_answer, num_picture_tokens, kMaxLookNumbers, kMaxLookNumbers / num_picture_tokens);
  }
}

}  // namespace

void check_request(const GenerationRequest& request, const RequestBounds& bounds) {
  const int64_t capacity_tokens = bounds.capacity_tokens;
  const int32_t num_vocab = bounds.num_vocab;
  validate(request.params);
  const auto& ids = request.prompt.ids;
  if (ids.empty()) fail(ErrorCode::kInvalidArgument, "the prompt is empty");
  if (static_cast<int64_t>(ids.size()) > capacity_tokens) {
    fail(ErrorCode::kInvalidArgument,
         "the prompt has {} tokens, but the KV cache holds {}: shorten it or give the cache more "
         "memory",
         ids.size(), capacity_tokens);
  }
  check_ids(ids, num_vocab);
  for (const text::ImageSpan& span : request.prompt.images) {
    LLAVA_CHECK(span.image >= 0 && static_cast<std::size_t>(span.image) < request.images.size());
  }
  if (request.num_choices < 1 || request.num_choices > 256) {
    fail(ErrorCode::kInvalidArgument, "n is {}, expected 1 to 256", request.num_choices);
  }
  if (request.params.num_beams > 1 && (request.grammar != nullptr || request.num_choices > 1)) {
    fail(ErrorCode::kInvalidArgument,
         "beam search gives one answer of any form: leave out the grammar and n, or num-beams");
  }
  if (request.look) check_look(request, bounds);
  for (const auto& answer : request.scored_answers) {
    if (answer.empty()) fail(ErrorCode::kInvalidArgument, "an answer to score is empty");
    check_ids(answer, num_vocab);
  }
}

}  // namespace llava::engine
