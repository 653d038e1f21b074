// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/openai/openai_api.h"

#include <chrono>
#include <ctime>
#include <utility>

#include "llava/serve/openai/chat_writer.h"
#include "llava/serve/openai/completion_writer.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {
namespace {

void check_content_type(const HttpRequest& request) {
  const std::string_view type = request.header("Content-Type").value_or("application/json");
  std::string_view media = type.substr(0, type.find(';'));
  while (!media.empty() && media.back() == ' ') media.remove_suffix(1);
  if (equals_ignoring_case(media, "application/json")) return;
  throw ApiError(415, "unsupported_media_type",
                 fmt::format("the body's type is '{}', expected application/json", media));
}

using SharedCall = std::shared_ptr<RouteCall>;

/// Runs `function` with the parsed body on a preparation thread.
void with_body(ModelService& service, RouteCall call,
               std::function<void(const SharedCall&, const OrderedJson&)> function) {
  check_content_type(call.request);
  const auto shared = std::make_shared<RouteCall>(std::move(call));
  service.prepare_later(shared->exchange, [shared, function = std::move(function)] {
    const OrderedJson body = parse_body(shared->request.body);
    // Pictures are large, and what has been parsed is all that is needed.
    shared->request.body = {};
    function(shared, body);
  });
}

/// Runs `function` with a request whose pictures are there.
template <class Request>
void with_images(ModelService& service, const SharedCall& call, Request request,
                 std::function<void(const RouteCall&, const Request&)> function) {
  const auto shared = std::make_shared<Request>(std::move(request));
  service.with_images(*call, shared->images,
                      [call, shared, function = std::move(function)] { function(*call, *shared); });
}

AnswerHead head_of(const ModelService& service, std::string id, std::string object) {
  return {.id = std::move(id),
          .object = std::move(object),
          .created = std::time(nullptr),
          .model = service.names().front(),
          .fingerprint = service.fingerprint()};
}

void answer_chat(ModelService& service, const RouteCall& call, const ChatRequest& chat) {
  PreparedChat prepared = service.prepare(chat, call);
  ChatAnswerForm form;
  form.head = head_of(service, "chatcmpl-" + call.id, "chat.completion");
  form.head.image_tokens = prepared.image_tokens;
  form.num_choices = chat.generation.num_choices;
  form.has_logprobs = chat.num_top_logprobs >= 0;
  form.is_streamed = chat.generation.is_streamed;
  form.includes_usage = chat.generation.includes_usage;
  form.has_continuous_usage = chat.generation.has_continuous_usage;
  form.has_timings = chat.generation.has_timings;
  form.events = service.event_options();
  auto writer = make_chat_writer(std::move(form), *service.pretrained().tokenizer, call.exchange);
  service.answer(std::move(prepared), call.exchange, std::move(writer));
}

void read_chat(ModelService& service, const SharedCall& call, const OrderedJson& body) {
  ChatRequest chat = read_chat_request(body, service.limits());
  service.check_model(chat.model);
  service.refuse_late();
  service.check_unknown(chat.unknown_fields);
  with_images<ChatRequest>(service, call, std::move(chat),
                           [&service](const RouteCall& own, const ChatRequest& request) {
                             answer_chat(service, own, request);
                           });
}

void answer_completion(ModelService& service, const RouteCall& call,
                       const CompletionRequest& completion) {
  std::vector<PreparedChat> prepared = service.prepare(completion, call);
  CompletionForm form;
  form.head = head_of(service, "cmpl-" + call.id, "text_completion");
  for (const PreparedChat& each : prepared) form.head.image_tokens += each.image_tokens;
  form.num_prompts = static_cast<int32_t>(prepared.size());
  form.num_choices = completion.generation.num_choices;
  form.has_logprobs = completion.num_top_logprobs >= 0;
  form.is_streamed = completion.generation.is_streamed;
  form.includes_usage = completion.generation.includes_usage;
  form.has_timings = completion.generation.has_timings;
  form.events = service.event_options();
  const auto answer = std::make_shared<CompletionAnswer>(
      std::move(form), *service.pretrained().tokenizer, call.exchange);
  const auto streams = service.answer_all(std::move(prepared), call.exchange, [&](int32_t prompt) {
    return answer->writer_of(prompt);
  });
  call.exchange->post([answer, streams] {
    answer->on_failure([streams] {
      for (const auto& stream : streams) stream->cancel();
    });
  });
}

void read_completion(ModelService& service, const SharedCall& call, const OrderedJson& body) {
  CompletionRequest completion = read_completion_request(body, service.limits());
  service.check_model(completion.model);
  service.refuse_late();
  service.check_unknown(completion.unknown_fields);
  with_images<CompletionRequest>(
      service, call, std::move(completion),
      [&service](const RouteCall& own, const CompletionRequest& request) {
        answer_completion(service, own, request);
      });
}

OrderedJson model_json(const ModelService& service, const std::string& name) {
  return {{"id", name},
          {"object", "model"},
          {"created", 0},
          {"owned_by", "llava"},
          {"root", service.pretrained().name},
          {"parent", nullptr},
          {"max_model_len", service.max_tokens()},
          {"capabilities",
           {{"vision", service.pretrained().has_vision()},
            {"max_images", service.limits().max_images}}}};
}

void list_models(const ModelService& service, const RouteCall& call) {
  OrderedJson models = OrderedJson::array();
  for (const std::string& name : service.names()) models.push_back(model_json(service, name));
  call.exchange->respond(json_response({{"object", "list"}, {"data", std::move(models)}}));
}

void show_model(const ModelService& service, const RouteCall& call) {
  const std::string& name = call.parameters.at("id");
  service.check_model(name);
  call.exchange->respond(json_response(model_json(service, name)));
}

void answer_tokens(const ModelService& service, const RouteCall& call, std::vector<int32_t> ids) {
  const std::size_t count = ids.size();
  call.exchange->respond(json_response(
      {{"count", count}, {"max_model_len", service.max_tokens()}, {"tokens", std::move(ids)}}));
}

void tokenize(ModelService& service, const SharedCall& call, const OrderedJson& body) {
  FieldReader reader(body, "");
  if (reader.has("messages")) {
    return with_images<ChatRequest>(service, call, read_chat_request(body, service.limits()),
                                    [&service](const RouteCall& own, const ChatRequest& chat) {
                                      answer_tokens(service, own,
                                                    service.prepare(chat, own).request.prompt.ids);
                                    });
  }
  const auto prompt = reader.get_string("prompt");
  if (!prompt) throw ApiError(400, "missing_field", "prompt: is missing", "prompt");
  service.check_model(reader.get_string("model").value_or(""));
  answer_tokens(service, *call,
                service.pretrained().tokenizer->encode(
                    *prompt, reader.get_bool("add_special_tokens").value_or(true)));
}

void detokenize(const ModelService& service, const SharedCall& call, const OrderedJson& body) {
  FieldReader reader(body, "");
  service.check_model(reader.get_string("model").value_or(""));
  const auto ids = reader.get_ids("tokens");
  if (!ids) throw ApiError(400, "missing_field", "tokens: is missing", "tokens");
  call->exchange->respond(
      json_response({{"prompt", service.pretrained().tokenizer->decode(*ids)}}));
}

}  // namespace

void add_openai_routes(Router& router, ModelService& service) {
  const auto add_post = [&](const char* path, auto function) {
    router.add("POST", path, Access::kKey, [&service, function](RouteCall call) {
      with_body(service, std::move(call),
                [&service, function](const SharedCall& own, const OrderedJson& body) {
                  function(service, own, body);
                });
    });
  };
  add_post("/v1/chat/completions", read_chat);
  add_post("/v1/completions", read_completion);
  add_post("/tokenize", tokenize);
  add_post("/detokenize", detokenize);
  router.add("GET", "/v1/models", Access::kKey,
             [&service](const RouteCall& call) { list_models(service, call); });
  router.add("GET", "/v1/models/{id*}", Access::kKey,
             [&service](const RouteCall& call) { show_model(service, call); });
}

}  // namespace llava::serve
