// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/openai/completion_writer.h"

#include <algorithm>
#include <utility>

#include "llava/serve/openai/chat_writer.h"

namespace llava::serve {
namespace {

/// The older form of log-probabilities: lists side by side.
OrderedJson old_logprobs_json(const text::Tokenizer& tokenizer,
                              const std::vector<engine::TokenChoice>& tokens, bool is_first) {
  OrderedJson texts = OrderedJson::array();
  OrderedJson logprobs = OrderedJson::array();
  OrderedJson top = OrderedJson::array();
  for (const OrderedJson& entry : logprobs_json(tokenizer, tokens, is_first)) {
    texts.push_back(entry["token"]);
    logprobs.push_back(entry["logprob"]);
    OrderedJson others = OrderedJson::object();
    for (const OrderedJson& other : entry["top_logprobs"]) {
      others[other["token"].get<std::string>()] = other["logprob"];
    }
    top.push_back(std::move(others));
  }
  return {{"tokens", std::move(texts)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(top)}};
}

}  // namespace

class CompletionAnswer::Writer final : public AnswerWriter {
 public:
  Writer(std::shared_ptr<CompletionAnswer> answer, int32_t prompt)
      : answer_(std::move(answer)), prompt_(prompt) {}

  void write(const engine::AnswerDelta& delta) override { answer_->write(prompt_, delta); }
  void end(const engine::AnswerUsage& usage) override { answer_->end(usage); }
  void fail(const ApiError& error) override { answer_->fail(error); }

 private:
  std::shared_ptr<CompletionAnswer> answer_;
  int32_t prompt_;
};

CompletionAnswer::CompletionAnswer(CompletionForm form, const text::Tokenizer& tokenizer,
                                   std::shared_ptr<HttpExchange> exchange)
    : form_(std::move(form)),
      tokenizer_(tokenizer),
      exchange_(std::move(exchange)),
      answer_(std::make_shared<EventStream>(exchange_, form_.events)),
      text_(form_.head, form_.head.object),
      choices_(static_cast<std::size_t>(form_.num_prompts * form_.num_choices)),
      has_begun_(choices_.size()) {
  if (form_.is_streamed) exchange_->post([answer = answer_] { answer->open(); });
}

std::unique_ptr<AnswerWriter> CompletionAnswer::writer_of(int32_t prompt) {
  return std::make_unique<Writer>(shared_from_this(), prompt);
}

OrderedJson CompletionAnswer::choice_json(int32_t index, std::string text,
                                          const std::vector<engine::TokenChoice>& tokens,
                                          bool is_first) const {
  OrderedJson json;
  json["index"] = index;
  json["text"] = std::move(text);
  json["logprobs"] =
      form_.has_logprobs ? old_logprobs_json(tokenizer_, tokens, is_first) : OrderedJson();
  return json;
}

void CompletionAnswer::write(int32_t prompt, const engine::AnswerDelta& delta) {
  const int32_t index = prompt * form_.num_choices + delta.choice;
  Choice& choice = choices_.at(static_cast<std::size_t>(index));
  if (!form_.is_streamed) {
    choice.text += delta.text;
    if (form_.has_logprobs) std::ranges::copy(delta.tokens, std::back_inserter(choice.tokens));
    if (delta.finish_reason) choice.finish_reason = finish_reason_word(*delta.finish_reason);
    return;
  }
  if (is_over_) return;
  const bool has_tokens = form_.has_logprobs && !delta.tokens.empty();
  if (delta.text.empty() && !has_tokens && !delta.finish_reason) return;
  const bool is_first = !has_begun_.at(static_cast<std::size_t>(index));
  has_begun_[static_cast<std::size_t>(index)] = true;
  if (!delta.finish_reason) {
    const std::string logprobs =
        form_.has_logprobs ? to_text(old_logprobs_json(tokenizer_, delta.tokens, is_first))
                           : "null";
    return answer_->put(text_.completion_piece(index, delta.text, logprobs,
                                               form_.includes_usage ? R"(,"usage":null)" : ""));
  }
  OrderedJson json = choice_json(index, delta.text, delta.tokens, is_first);
  json["finish_reason"] = finish_reason_word(*delta.finish_reason);
  OrderedJson chunk = head_json(form_.head, form_.head.object);
  chunk["choices"] = OrderedJson::array({std::move(json)});
  if (form_.includes_usage) chunk["usage"] = nullptr;
  answer_->put(event_of(chunk));
}

void CompletionAnswer::end(const engine::AnswerUsage& usage) {
  usage_.prompt_tokens += usage.prompt_tokens;
  usage_.cached_tokens += usage.cached_tokens;
  usage_.completion_tokens += usage.completion_tokens;
  usage_.draft_tokens += usage.draft_tokens;
  usage_.accepted_tokens += usage.accepted_tokens;
  usage_.queue_ms = std::max(usage_.queue_ms, usage.queue_ms);
  usage_.encode_ms = std::max(usage_.encode_ms, usage.encode_ms);
  usage_.first_token_ms = std::max(usage_.first_token_ms, usage.first_token_ms);
  usage_.decode_ms = std::max(usage_.decode_ms, usage.decode_ms);
  if (++num_ended_ == form_.num_prompts && !is_over_) finish();
}

void CompletionAnswer::finish() {
  is_over_ = true;
  const int32_t image_tokens = form_.head.image_tokens;
  if (form_.is_streamed) {
    if (form_.includes_usage) {
      OrderedJson chunk = head_json(form_.head, form_.head.object);
      chunk["choices"] = OrderedJson::array();
      chunk["usage"] = usage_json(usage_, image_tokens);
      answer_->put(event_of(chunk));
    }
    answer_->put(std::string(kLastEvent));
    return answer_->finish();
  }
  OrderedJson body = head_json(form_.head, form_.head.object);
  OrderedJson list = OrderedJson::array();
  int32_t index = 0;
  for (Choice& choice : choices_) {
    OrderedJson json = choice_json(index++, std::move(choice.text), choice.tokens, true);
    json["finish_reason"] = choice.finish_reason;
    list.push_back(std::move(json));
  }
  body["choices"] = std::move(list);
  body["usage"] = usage_json(usage_, image_tokens);
  if (form_.has_timings) body["timings"] = timings_json(usage_);
  exchange_->respond(json_response(body));
}

void CompletionAnswer::fail(const ApiError& error) {
  if (std::exchange(is_over_, true)) return;
  if (on_failure_) on_failure_();
  if (!answer_->has_started()) return exchange_->respond(error_response(error));
  answer_->put(event_of(error_body(error)));
  answer_->put(std::string(kLastEvent));
  answer_->finish();
}

}  // namespace llava::serve
