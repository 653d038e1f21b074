// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/operations/operations_api.h"

#include <limits>
#include <utility>

#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {
namespace {

constexpr std::chrono::seconds kHealthTime{20};

OrderedJson limits_json(const ModelService& service, const ServerOptions& server) {
  const ServiceOptions& options = service.options();
  const ImageLimits& images = service.image_limits();
  const RateLimitOptions& rates = server.rate_limits;
  OrderedJson json;
  json["max_model_len"] = service.max_tokens();
  json["default_max_tokens"] = options.default_max_tokens;
  json["max_n"] = options.max_n;
  json["max_messages"] = service.limits().max_messages;
  json["max_body_bytes"] = server.max_body_bytes;
  json["images"] = {{"max_images", options.max_images},
                    {"max_bytes", images.max_bytes},
                    {"max_pixels", images.max_pixels},
                    {"max_side", images.max_side},
                    {"formats", {"jpeg", "png", "webp", "gif", "tiff", "bmp"}},
                    {"url_policy", options.image_urls.image_url_policy}};
  json["seconds"] = {{"queue", options.queue_timeout},
                     {"request", options.request_timeout},
                     {"token_gap", options.token_gap_timeout}};
  json["per_minute"] = {{"requests", rates.rate_limit_requests},
                        {"tokens", rates.rate_limit_tokens},
                        {"images", rates.rate_limit_images}};
  json["concurrent_requests"] = rates.rate_limit_concurrent;
  return json;
}

/// Answers with whether a token came.
class HealthWriter final : public AnswerWriter {
 public:
  explicit HealthWriter(std::shared_ptr<HttpExchange> exchange) : exchange_(std::move(exchange)) {}

  void write(const engine::AnswerDelta&) override {}
  void end(const engine::AnswerUsage&) override {
    exchange_->respond(json_response({{"status", "ok"}}));
  }
  void fail(const ApiError& error) override { exchange_->respond(error_response(error)); }

 private:
  std::shared_ptr<HttpExchange> exchange_;
};

void check_by_generating(ModelService& service, const std::shared_ptr<RouteCall>& call) {
  CompletionRequest completion;
  completion.prompts = {std::string("Hello")};
  completion.generation.max_tokens = 1;
  completion.generation.temperature = 0.0f;
  PreparedChat prepared = std::move(service.prepare(completion, *call).front());
  prepared.request.priority = std::numeric_limits<int32_t>::max();
  const auto stream = service.answer(std::move(prepared), call->exchange,
                                     std::make_unique<HealthWriter>(call->exchange));
  call->exchange->post_after(
      kHealthTime, [weak = std::weak_ptr(stream), exchange = std::weak_ptr(call->exchange)] {
        const auto late = weak.lock();
        const auto open = exchange.lock();
        if (!late || !open || late->is_ended()) return;
        late->cancel();
        open->respond(error_response(ApiError(
            503, "engine_dead", fmt::format("no token came in {} s", kHealthTime.count()))));
      });
}

std::string read_id(const RouteCall& call, std::string_view name) {
  const OrderedJson body = parse_body(call.request.body);
  FieldReader reader(body, "");
  const auto id = reader.get_string(name);
  if (!id || id->empty()) {
    throw ApiError(400, "missing_field", fmt::format("{}: is missing", name), std::string(name));
  }
  return *id;
}

void answer_abort(ModelService& service, const RouteCall& call, std::string_view name,
                  const std::string& client) {
  const int32_t count = service.abort(read_id(call, name), client);
  call.exchange->respond(json_response({{"aborted", count}}));
}

}  // namespace

void add_operations_routes(Router& router, ModelService& service, const ServerOptions& options,
                           const std::function<bool()>& is_ready, std::function<void()> drain) {
  router.add("GET", "/limits", Access::kKey, [&service, &options](const RouteCall& call) {
    call.exchange->respond(json_response(limits_json(service, options)));
  });
  router.add("GET", "/health_generate", Access::kKey, [&service, is_ready](RouteCall call) {
    if (!is_ready()) throw ApiError(503, "draining", "this server is about to stop; ask another");
    const auto shared = std::make_shared<RouteCall>(std::move(call));
    service.prepare_later(shared->exchange,
                          [&service, shared] { check_by_generating(service, shared); });
  });
  const auto flush = [&service](const RouteCall& call) {
    // Waits for the engine's step.
    service.prepare_later(call.exchange, [&service, exchange = call.exchange] {
      service.engine().drop_unused();
      exchange->respond(make_response(200, "text/plain; charset=utf-8", "Cache flushed.\n"));
    });
  };
  router.add("GET", "/flush_cache", Access::kKey, flush);
  router.add("POST", "/flush_cache", Access::kKey, flush);
  router.add("POST", "/abort_request", Access::kKey, [&service](const RouteCall& call) {
    answer_abort(service, call, "rid", call.client);
  });
  if (options.admin_key_file.empty()) return;
  router.add("POST", "/admin/abort", Access::kAdmin,
             [&service](const RouteCall& call) { answer_abort(service, call, "request_id", ""); });
  router.add("POST", "/admin/drain", Access::kAdmin,
             [drain = std::move(drain)](const RouteCall& call) {
               call.exchange->respond(json_response({{"status", "draining"}}, 202));
               drain();
             });
}

}  // namespace llava::serve
