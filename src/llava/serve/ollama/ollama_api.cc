// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/ollama/ollama_api.h"

#include <fmt/chrono.h>

#include <chrono>
#include <cmath>
#include <utility>

#include "llava/core/version.h"
#include "llava/serve/http/streamed_answer.h"
#include "llava/serve/ollama/ollama_embeddings.h"
#include "llava/serve/ollama/ollama_request.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {
namespace {

/// Which of the two forms an answer has.
enum class Form : uint8_t { kChat, kGenerate };

std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count() %
      1'000'000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(now)), micros);
}

OrderedJson piece_json(Form form, const std::string& model, const std::string& text) {
  OrderedJson json = {{"model", model}, {"created_at", now_text()}};
  if (form == Form::kChat) {
    json["message"] = {{"role", "assistant"}, {"content", text}};
  } else {
    json["response"] = text;
  }
  json["done"] = false;
  return json;
}

int64_t nanoseconds(double milliseconds) { return std::llround(milliseconds * 1e6); }

/// A line of JSON for every piece of text, or one object.
class OllamaWriter final : public AnswerWriter {
 public:
  OllamaWriter(Form form, std::string model, bool is_streamed,
               std::shared_ptr<HttpExchange> exchange)
      : form_(form),
        model_(std::move(model)),
        is_streamed_(is_streamed),
        exchange_(std::move(exchange)),
        answer_(exchange_, make_response(200, "application/x-ndjson", {})) {}

  void write(const engine::AnswerDelta& delta) override {
    if (delta.finish_reason == engine::FinishReason::kLength) done_reason_ = "length";
    if (!is_streamed_) {
      text_ += delta.text;
    } else if (!delta.text.empty()) {
      answer_.put(to_text(piece_json(form_, model_, delta.text)) + "\n");
    }
  }

  void end(const engine::AnswerUsage& usage) override {
    OrderedJson json = piece_json(form_, model_, text_);
    json["done"] = true;
    json["done_reason"] = done_reason_;
    json["total_duration"] = nanoseconds(usage.first_token_ms + usage.decode_ms);
    json["load_duration"] = 0;
    json["prompt_eval_count"] = usage.prompt_tokens;
    json["prompt_eval_duration"] = nanoseconds(usage.first_token_ms - usage.queue_ms);
    json["eval_count"] = usage.completion_tokens;
    json["eval_duration"] = nanoseconds(usage.decode_ms);
    if (!is_streamed_) return exchange_->respond(json_response(json));
    answer_.put(to_text(json) + "\n");
    answer_.finish();
  }

  void fail(const ApiError& error) override {
    if (!answer_.has_started()) return exchange_->respond(error_response(error));
    answer_.put(to_text(OrderedJson{{"error", error.what()}}) + "\n");
    answer_.finish();
  }

 private:
  Form form_;
  std::string model_;
  bool is_streamed_;
  std::shared_ptr<HttpExchange> exchange_;
  StreamedAnswer answer_;
  std::string text_;
  std::string done_reason_ = "stop";
};

void answer(ModelService& service, const RouteCall& call, Form form) {
  const OrderedJson body = parse_body(call.request.body);
  OllamaRequest request = form == Form::kChat ? read_ollama_chat(body, service.limits())
                                              : read_ollama_generate(body, service.limits());
  if (request.is_empty) {
    OrderedJson loaded = piece_json(form, request.model, "");
    loaded["done"] = true;
    loaded["done_reason"] = "load";
    return call.exchange->respond(json_response(loaded));
  }
  auto writer =
      std::make_unique<OllamaWriter>(form, request.model, request.is_streamed, call.exchange);
  PreparedChat prepared;
  if (const auto* chat = std::get_if<ChatRequest>(&request.request)) {
    prepared = service.prepare(*chat, call);
  } else {
    prepared =
        std::move(service.prepare(std::get<CompletionRequest>(request.request), call).front());
  }
  service.answer(std::move(prepared), call.exchange, std::move(writer));
}

OrderedJson tag_json(const ModelService& service, const std::string& name) {
  return {{"name", name},
          {"model", name},
          {"modified_at", "1970-01-01T00:00:00Z"},
          {"size", 0},
          {"digest", ""},
          {"details",
           {{"parent_model", ""},
            {"format", "llava"},
            {"family", "llava"},
            {"families", {"llava"}},
            {"parameter_size", ""},
            {"quantization_level", dtype_name(service.pretrained().model->dtype())}}}};
}

void list_tags(const ModelService& service, const RouteCall& call) {
  OrderedJson models = OrderedJson::array();
  for (const std::string& name : service.names()) models.push_back(tag_json(service, name));
  call.exchange->respond(json_response({{"models", std::move(models)}}));
}

void show_tag(const ModelService& service, const RouteCall& call) {
  const OrderedJson body = parse_body(call.request.body);
  FieldReader reader(body, "");
  auto name = reader.get_string("model");
  if (!name) name = reader.get_string("name");
  const std::string asked = name.value_or("");
  service.check_model(asked.substr(0, asked.find(':')));
  OrderedJson answer = {{"modelfile", ""}, {"parameters", ""}, {"template", ""}};
  answer["details"] = tag_json(service, service.names().front())["details"];
  answer["model_info"] = {{"general.architecture", "llava"},
                          {"llava.context_length", service.max_tokens()}};
  answer["capabilities"] = service.pretrained().has_vision() ? OrderedJson{"completion", "vision"}
                                                             : OrderedJson{"completion"};
  call.exchange->respond(json_response(answer));
}

}  // namespace

void add_ollama_routes(Router& router, ModelService& service) {
  const auto add_answer = [&](const char* path, Form form) {
    router.add("POST", path, Access::kKey, [&service, form](RouteCall call) {
      const auto shared = std::make_shared<RouteCall>(std::move(call));
      service.prepare_later(shared->exchange,
                            [&service, shared, form] { answer(service, *shared, form); });
    });
  };
  add_answer("/api/chat", Form::kChat);
  add_answer("/api/generate", Form::kGenerate);
  add_ollama_embedding_routes(router, service);
  router.add("GET", "/api/tags", Access::kKey,
             [&service](const RouteCall& call) { list_tags(service, call); });
  router.add("GET", "/api/ps", Access::kKey,
             [&service](const RouteCall& call) { list_tags(service, call); });
  router.add("POST", "/api/show", Access::kKey,
             [&service](const RouteCall& call) { show_tag(service, call); });
  router.add("GET", "/api/version", Access::kKey, [](const RouteCall& call) {
    call.exchange->respond(json_response({{"version", kVersion}}));
  });
  for (const char* path : {"/api/pull", "/api/push", "/api/create", "/api/copy"}) {
    router.add("POST", path, Access::kKey, [](const RouteCall& call) {
      call.exchange->respond(json_response({{"error", "this server has one model"}}, 501));
    });
  }
  router.add("DELETE", "/api/delete", Access::kKey, [](const RouteCall& call) {
    call.exchange->respond(json_response({{"error", "this server has one model"}}, 501));
  });
}

}  // namespace llava::serve
