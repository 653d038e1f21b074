// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/chat/counted_writer.h"

#include <algorithm>
#include <utility>

namespace llava::serve {

ApiError with_retry_after(ApiError error, const AnswerAccounts& accounts) {
  error.retry_after = accounts.load.retry_after(accounts.engine.stats().num_waiting);
  return error;
}

CountedWriter::CountedWriter(std::unique_ptr<AnswerWriter> inner, const AnswerAccounts& accounts,
                             CountedRequest request)
    : inner_(std::move(inner)), accounts_(accounts), request_(std::move(request)) {}

void CountedWriter::write(const engine::AnswerDelta& delta) {
  if (delta.finish_reason) reason_ = *delta.finish_reason;
  if (!request_.prompt.empty()) answer_ += delta.text;
  inner_->write(delta);
}

void CountedWriter::end(const engine::AnswerUsage& usage) {
  accounts_.metrics.count_answer({.usage = usage,
                                  .image_tokens = request_.image_tokens,
                                  .num_images = request_.num_images,
                                  .num_choices = request_.num_choices,
                                  .max_tokens = request_.max_new_tokens,
                                  .preprocess_ms = request_.preprocess_ms,
                                  .reason = reason_,
                                  .is_slow_client = is_slow_client_});
  // This one has left the engine.
  accounts_.load.note(usage.first_token_ms - usage.queue_ms + usage.decode_ms,
                      accounts_.engine.stats().num_running + 1);
  give_back(usage.prompt_tokens + usage.completion_tokens);
  note(usage);
  inner_->end(usage);
}

void CountedWriter::fail(const ApiError& error) {
  accounts_.metrics.count_failed_answer(error.code());
  if (request_.cost) {
    request_.cost->with([&](RequestCost& cost) { cost.error_code = error.code(); });
  }
  note_content();
  give_back(0);
  inner_->fail(error.status() == 503 ? with_retry_after(error, accounts_) : error);
}

void CountedWriter::note_close(CloseReason reason) {
  is_slow_client_ = reason == CloseReason::kSlowClient;
  inner_->note_close(reason);
}

void CountedWriter::give_back(int64_t num_used) {
  if (accounts_.rate_limits == nullptr) return;
  accounts_.rate_limits->give_back_tokens(
      request_.client, std::max<int64_t>(0, request_.reserved_tokens - num_used));
}

void CountedWriter::note(const engine::AnswerUsage& usage) {
  if (!request_.cost) return;
  request_.cost->with([&](RequestCost& cost) {
    cost.model = accounts_.model;
    cost.finish_reason = is_slow_client_ ? "slow_client" : finish_reason_name(reason_);
    cost.prompt_tokens += usage.prompt_tokens;
    cost.image_tokens += request_.image_tokens;
    cost.cached_tokens += usage.cached_tokens;
    cost.completion_tokens += usage.completion_tokens;
    cost.preprocess_ms = request_.preprocess_ms;
    cost.queue_ms = std::max(cost.queue_ms, usage.queue_ms);
    cost.encode_ms += usage.encode_ms;
    cost.prefill_ms =
        std::max(cost.prefill_ms, usage.first_token_ms - usage.queue_ms - usage.encode_ms);
    cost.decode_ms = std::max(cost.decode_ms, usage.decode_ms);
  });
  note_content();
}

void CountedWriter::note_content() {
  if (!request_.cost || request_.prompt.empty()) return;
  request_.cost->with([&](RequestCost& cost) {
    cost.prompt += request_.prompt;
    cost.answer += answer_;
  });
}

}  // namespace llava::serve
