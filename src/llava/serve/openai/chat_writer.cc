// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/openai/chat_writer.h"

#include <fmt/format.h>

#include <utility>

#include "llava/serve/openai/chunk_text.h"

namespace llava::serve {
namespace {

/// What has come of one choice.
struct Choice {
  std::string text;
  OrderedJson logprobs = OrderedJson::array();
  std::string_view finish_reason = "stop";
  std::string stop_string;
  bool has_begun = false;
  int32_t num_tokens = 0;
};

OrderedJson stop_reason_json(const std::string& stop_string) {
  return stop_string.empty() ? OrderedJson() : OrderedJson(stop_string);
}

/// One object when all is there.
class WholeChatWriter final : public AnswerWriter {
 public:
  WholeChatWriter(ChatAnswerForm form, const text::Tokenizer& tokenizer,
                  std::shared_ptr<HttpExchange> exchange)
      : form_(std::move(form)),
        tokenizer_(tokenizer),
        exchange_(std::move(exchange)),
        choices_(static_cast<std::size_t>(form_.num_choices)) {}

  void write(const engine::AnswerDelta& delta) override {
    Choice& choice = choices_.at(static_cast<std::size_t>(delta.choice));
    choice.text += delta.text;
    if (form_.has_logprobs) {
      for (OrderedJson& entry : logprobs_json(tokenizer_, delta.tokens, choice.num_tokens == 0)) {
        choice.logprobs.push_back(std::move(entry));
      }
    }
    choice.num_tokens += static_cast<int32_t>(delta.tokens.size());
    if (delta.finish_reason) choice.finish_reason = finish_reason_word(*delta.finish_reason);
    choice.stop_string = delta.stop_string;
  }

  void end(const engine::AnswerUsage& usage) override {
    OrderedJson body = head_json(form_.head, form_.head.object);
    OrderedJson list = OrderedJson::array();
    int32_t index = 0;
    for (Choice& choice : choices_) {
      OrderedJson json;
      json["index"] = index++;
      json["message"] = {{"role", "assistant"}, {"content", std::move(choice.text)}};
      json["logprobs"] =
          form_.has_logprobs ? OrderedJson{{"content", std::move(choice.logprobs)}} : OrderedJson();
      json["finish_reason"] = choice.finish_reason;
      json["stop_reason"] = stop_reason_json(choice.stop_string);
      list.push_back(std::move(json));
    }
    body["choices"] = std::move(list);
    body["usage"] = usage_json(usage, form_.head.image_tokens);
    if (form_.has_timings) body["timings"] = timings_json(usage);
    exchange_->respond(json_response(body));
  }

  void fail(const ApiError& error) override { exchange_->respond(error_response(error)); }

 private:
  ChatAnswerForm form_;
  const text::Tokenizer& tokenizer_;
  std::shared_ptr<HttpExchange> exchange_;
  std::vector<Choice> choices_;
};

/// An event for every delta. Status and headers go out with the first one, so that what fails
/// before it is an HTTP error.
class ChatEventWriter final : public AnswerWriter {
 public:
  ChatEventWriter(ChatAnswerForm form, const text::Tokenizer& tokenizer,
                  std::shared_ptr<HttpExchange> exchange)
      : form_(std::move(form)),
        tokenizer_(tokenizer),
        exchange_(std::move(exchange)),
        answer_(std::make_shared<EventStream>(exchange_, form_.events)),
        text_(form_.head, "chat.completion.chunk"),
        choices_(static_cast<std::size_t>(form_.num_choices)) {
    exchange_->post([answer = answer_] { answer->open(); });
  }

  void write(const engine::AnswerDelta& delta) override {
    Choice& choice = choices_.at(static_cast<std::size_t>(delta.choice));
    if (!choice.has_begun) {
      choice.has_begun = true;
      send(delta.choice, {{"role", "assistant"}, {"content", ""}}, {}, {});
    }
    const bool has_tokens = form_.has_logprobs && !delta.tokens.empty();
    std::string logprobs = "null";
    if (has_tokens) {
      logprobs = to_text(OrderedJson{
          {"content", logprobs_json(tokenizer_, delta.tokens, choice.num_tokens == 0)}});
    }
    choice.num_tokens += static_cast<int32_t>(delta.tokens.size());
    num_tokens_ += static_cast<int32_t>(delta.tokens.size());
    if (!delta.text.empty() || has_tokens) {
      answer_->put(text_.chat_piece(delta.choice, delta.text, logprobs, end_of_chunk()));
    }
    if (!delta.finish_reason) return;
    send(delta.choice, OrderedJson::object(), finish_reason_word(*delta.finish_reason),
         delta.stop_string);
  }

  void end(const engine::AnswerUsage& usage) override {
    if (form_.includes_usage) {
      OrderedJson chunk = head_json(form_.head, "chat.completion.chunk");
      chunk["choices"] = OrderedJson::array();
      chunk["usage"] = usage_json(usage, form_.head.image_tokens);
      if (form_.has_timings) chunk["timings"] = timings_json(usage);
      answer_->put(event_of(chunk));
    }
    answer_->put(std::string(kLastEvent));
    answer_->finish();
  }

  void fail(const ApiError& error) override {
    if (!answer_->has_started()) return exchange_->respond(error_response(error));
    answer_->put(event_of(error_body(error)));
    answer_->put(std::string(kLastEvent));
    answer_->finish();
  }

 private:
  /// What follows `choices`, for ChunkText.
  std::string end_of_chunk() const {
    if (form_.has_continuous_usage) {
      return fmt::format(R"(,"usage":{{"completion_tokens":{}}})", num_tokens_);
    }
    return form_.includes_usage ? R"(,"usage":null)" : "";
  }

  /// What comes once for each choice.
  void send(int32_t index, OrderedJson delta, std::string_view finish_reason,
            const std::string& stop_string) {
    OrderedJson choice;
    choice["index"] = index;
    choice["delta"] = std::move(delta);
    choice["logprobs"] = nullptr;
    choice["finish_reason"] = finish_reason.empty() ? OrderedJson() : OrderedJson(finish_reason);
    if (!finish_reason.empty()) choice["stop_reason"] = stop_reason_json(stop_string);
    OrderedJson chunk = head_json(form_.head, "chat.completion.chunk");
    chunk["choices"] = OrderedJson::array({std::move(choice)});
    if (form_.has_continuous_usage) {
      chunk["usage"] = {{"completion_tokens", num_tokens_}};
    } else if (form_.includes_usage) {
      chunk["usage"] = nullptr;
    }
    answer_->put(event_of(chunk));
  }

  ChatAnswerForm form_;
  const text::Tokenizer& tokenizer_;
  std::shared_ptr<HttpExchange> exchange_;
  std::shared_ptr<EventStream> answer_;
  ChunkText text_;
  std::vector<Choice> choices_;
  int32_t num_tokens_ = 0;
};

}  // namespace

std::unique_ptr<AnswerWriter> make_chat_writer(ChatAnswerForm form,
                                               const text::Tokenizer& tokenizer,
                                               std::shared_ptr<HttpExchange> exchange) {
  if (form.is_streamed) {
    return std::make_unique<ChatEventWriter>(std::move(form), tokenizer, std::move(exchange));
  }
  return std::make_unique<WholeChatWriter>(std::move(form), tokenizer, std::move(exchange));
}

std::string event_of(const OrderedJson& json) { return "data: " + to_text(json) + "\n\n"; }

}  // namespace llava::serve
