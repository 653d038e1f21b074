// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/records_relay.h"

#include <fmt/format.h>

#include <ctime>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/serve/legacy/worker_api.h"
#include "llava/serve/openai/chat_writer.h"

namespace llava::serve {
namespace {

constexpr std::string_view kSource = "a worker's record";
constexpr int kWorkerFailed = 502;

HttpResponse head_of(bool is_streamed) {
  return is_streamed ? event_stream_head() : HttpResponse{.status = 200, .headers = {}, .body = {}};
}

}  // namespace

RecordsRelay::RecordsRelay(const OriginalRequest& request, std::string model, const std::string& id,
                           std::shared_ptr<HttpExchange> exchange)
    : prompt_(request.prompt),
      form_(request.form),
      is_streamed_(request.is_streamed),
      includes_usage_(request.includes_usage),
      model_(std::move(model)),
      id_(fmt::format("{}-{}", form_ == OriginalRequest::Form::kChat ? "chatcmpl" : "cmpl", id)),
      created_(std::time(nullptr)),
      exchange_(std::move(exchange)),
      answer_(exchange_, head_of(is_streamed_)),
      stop_(request.stop),
      usage_({{"prompt_tokens", 0}, {"completion_tokens", 0}, {"total_tokens", 0}}) {}

void RecordsRelay::take_head(int status, const std::vector<HttpHeader>& /*headers*/) {
  status_ = status;
}

void RecordsRelay::take(std::string_view bytes) {
  if (status_ != 200) return;
  splitter_.push(bytes, [this](std::string_view record) { take_record(record); });
}

void RecordsRelay::take_record(std::string_view record) {
  if (is_done_) return;
  const Json json = parse_json(record, kSource);
  const JsonObject object(json, kSource);
  const std::string text = object.get_string("text").value_or("");
  const int64_t error_code = object.get_int("error_code").value_or(0);
  if (error_code != 0) {
    return refuse(ApiError(kWorkerFailed, "worker_failed",
                           fmt::format("the worker answers with error {}", error_code)));
  }
  if (!text.starts_with(prompt_)) {
    llava::fail(ErrorCode::kBadFormat, "{} does not begin with the prompt", kSource);
  }
  has_records_ = true;
  // FastChat's workers say more than the original's.
  if (const auto reason = object.get_string("finish_reason")) finish_reason_ = *reason;
  if (const Json* usage = object.find("usage"); usage != nullptr && usage->is_object()) {
    usage_ = OrderedJson(*usage);
  }
  add(std::string_view(text).substr(prompt_.size()));
}

/// Takes all of the answer so far.
void RecordsRelay::add(std::string_view answer) {
  if (num_taken_bytes_ == 0 && answer == kContextOverflowText) {
    return refuse(ApiError(400, "context_length_exceeded",
                           "the prompt and its pictures leave no room for an answer in the model's "
                           "context",
                           "messages"));
  }
  if (answer.size() < num_taken_bytes_) {
    // The worker has cut its stop string off, and would go on.
    return end();
  }
  const std::string shown = stop_.push(answer.substr(num_taken_bytes_));
  num_taken_bytes_ = answer.size();
  show(shown);
  if (stop_.is_stopped()) end();
}

void RecordsRelay::show(const std::string& text) {
  if (text.empty()) return;
  if (!is_streamed_) {
    text_ += text;
    return;
  }
  if (form_ == OriginalRequest::Form::kCompletion)
    return answer_.put(event({{"text", text}}, false));
  if (!answer_.has_started()) {
    answer_.put(event({{"delta", {{"role", "assistant"}, {"content", ""}}}}, false));
  }
  answer_.put(event({{"delta", {{"content", text}}}}, false));
}

std::optional<HttpResponse> RecordsRelay::finish() {
  if (is_done_) return std::nullopt;
  if (status_ == 200) {
    if (const auto rest = splitter_.finish()) take_record(*rest);
  }
  if (is_done_) return std::nullopt;
  if (status_ != 200 || !has_records_) {
    llava::fail(ErrorCode::kBadFormat, "the worker answers with status {} and without a record",
                status_);
  }
  // What might have begun a stop string did not.
  show(stop_.finish());
  end();
  return std::nullopt;
}

void RecordsRelay::end() {
  is_done_ = true;
  const bool is_chat = form_ == OriginalRequest::Form::kChat;
  if (!is_streamed_) {
    OrderedJson whole = frame(is_chat ? "chat.completion" : "text_completion");
    const OrderedJson content =
        is_chat ? OrderedJson{{"message", {{"role", "assistant"}, {"content", text_}}}}
                : OrderedJson{{"text", text_}};
    whole["choices"] = OrderedJson::array({choice_json(content, true)});
    whole["usage"] = usage_;
    return exchange_->respond(json_response(whole));
  }
  if (is_chat && !answer_.has_started()) {
    answer_.put(event({{"delta", {{"role", "assistant"}, {"content", ""}}}}, false));
  }
  answer_.put(event(
      is_chat ? OrderedJson{{"delta", OrderedJson::object()}} : OrderedJson{{"text", ""}}, true));
  if (includes_usage_) {
    OrderedJson last = frame(is_chat ? "chat.completion.chunk" : "text_completion");
    last["choices"] = OrderedJson::array();
    last["usage"] = usage_;
    answer_.put(event_of(last));
  }
  answer_.put(std::string(kLastEvent));
  answer_.finish();
}

void RecordsRelay::refuse(const ApiError& error) {
  if (has_started()) return fail(error);
  is_done_ = true;
  exchange_->respond(error_response(error));
}

void RecordsRelay::fail(const ApiError& error) {
  is_done_ = true;
  answer_.put(event_of(error_body(error)));
  answer_.put(std::string(kLastEvent));
  answer_.finish();
}

OrderedJson RecordsRelay::frame(std::string_view object) const {
  return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_}};
}

OrderedJson RecordsRelay::choice_json(const OrderedJson& content, bool is_last) const {
  OrderedJson choice = {{"index", 0}};
  choice.update(content);
  choice["logprobs"] = nullptr;
  choice["finish_reason"] = is_last ? OrderedJson(finish_reason_) : OrderedJson();
  return choice;
}

std::string RecordsRelay::event(const OrderedJson& content, bool is_last) const {
  OrderedJson chunk =
      frame(form_ == OriginalRequest::Form::kChat ? "chat.completion.chunk" : "text_completion");
  chunk["choices"] = OrderedJson::array({choice_json(content, is_last)});
  if (includes_usage_) chunk["usage"] = nullptr;
  return event_of(chunk);
}

}  // namespace llava::serve
