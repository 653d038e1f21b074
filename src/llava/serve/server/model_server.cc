// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/server/model_server.h"

#include <utility>

#include "llava/core/version.h"
#include "llava/serve/attention/attention_api.h"
#include "llava/serve/batches/batches_api.h"
#include "llava/serve/cog/predictions_api.h"
#include "llava/serve/embeddings/embeddings_api.h"
#include "llava/serve/files/files_api.h"
#include "llava/serve/metrics/http_metrics.h"
#include "llava/serve/ollama/ollama_api.h"
#include "llava/serve/openai/openai_api.h"
#include "llava/serve/openapi/openapi_api.h"
#include "llava/serve/operations/operations_api.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/sglang/sglang_api.h"

namespace llava::serve {
namespace {

HttpResponse unavailable(const ServerOptions& options, const char* code, const char* message) {
  ApiError error(503, code, message);
  error.retry_after = 1;
  return styled_error(options, error);
}

bool is_health(const std::string& path) {
  return path == "/health" || path.starts_with("/health/");
}

/// The bodies are llama.cpp's.
HttpResponse unhealthy(const char* message) {
  return json_response(
      {{"error", {{"code", 503}, {"message", message}, {"type", "unavailable_error"}}}}, 503);
}

HttpResponse health_of(ServerState state) {
  switch (state) {
    case ServerState::kLoading:
      return unhealthy("Loading model");
    case ServerState::kDraining:
      return unhealthy("Draining");
    case ServerState::kReady:
      break;
  }
  return json_response({{"status", "ok"}});
}

/// `is_stalled` says whether the engine hangs.
void add_health_routes(Router& router, const std::atomic<ServerState>& state,
                       const std::function<bool()>& is_stalled) {
  const auto answer = [&state, is_stalled](const RouteCall& call) {
    call.exchange->respond(is_stalled() ? unhealthy("Engine stalled") : health_of(state.load()));
  };
  router.add("GET", "/health", Access::kOpen, answer);
  router.add("GET", "/health/ready", Access::kOpen, answer);
  router.add("GET", "/health/live", Access::kOpen, [is_stalled](const RouteCall& call) {
    call.exchange->respond(is_stalled() ? unhealthy("Engine stalled")
                                        : json_response({{"status", "ok"}}));
  });
}

PageHost page_host_of(ModelService& service) {
  return {.limits = service.limits(),
          .image_limits = service.image_limits(),
          .conv_mode_of =
              [&service](const std::string& model) {
                service.check_model(model);
                return service.conv_mode();
              },
          .run_later =
              [&service](std::shared_ptr<HttpExchange> exchange, std::function<void()> task) {
                service.prepare_later(std::move(exchange), std::move(task));
              }};
}

}  // namespace

/// Gives requests to the router of the moment, or refuses them.
class ModelServer::Switch final : public HttpHandler {
 public:
  Switch(ModelServer& server, HttpHandler& loading) : server_(server), current_(&loading) {}

  void use(HttpHandler& handler) { current_.store(&handler); }

  std::optional<HttpResponse> admit(const HttpRequest& head, uint64_t& max_body_bytes) override {
    if (!is_health(head.path)) {
      if (server_.state_.load() == ServerState::kLoading) {
        return unavailable(server_.options_, "model_loading", "the model is being loaded");
      }
      if (server_.refuses_.load()) {
        if (server_.service_) server_.service_->metrics().count_error("draining");
        return unavailable(server_.options_, "draining",
                           "this server is about to stop; ask another");
      }
    }
    return current_.load()->admit(head, max_body_bytes);
  }
  void handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) override {
    current_.load()->handle(std::move(request), std::move(exchange));
  }
  HttpResponse refuse(int status, const std::string& message) override {
    return current_.load()->refuse(status, message);
  }

 private:
  ModelServer& server_;
  std::atomic<HttpHandler*> current_;
};

ModelServer::ModelServer(const ServerOptions& options)
    : options_(options),
      keys_(options.api_key, options.api_key_file),
      admin_keys_({}, options.admin_key_file),
      rate_limits_(options.rate_limits),
      watch_(options) {
  loading_ = std::make_unique<Router>(router_config_of(options), keys_);
  add_health_routes(*loading_, state_, [] { return false; });
  switch_ = std::make_unique<Switch>(*this, *loading_);
  server_ = std::make_unique<HttpServer>(http_config_of(options), *switch_);
}

ModelServer::~ModelServer() {
  server_->stop_listening();
  if (metrics_) metrics_->close();
  if (batches_) batches_->stop();
  if (service_) service_->stop();
  server_.reset();
}

std::string ModelServer::address() const { return server_->address(); }

bool ModelServer::is_exposed() const {
  return keys_.is_open() && router_config_of(options_).allowed_hosts.empty();
}

void ModelServer::serve(const engine::Pretrained& pretrained, engine::Engine& engine,
                        const ServiceOptions& options, const LegacyOptions& legacy, WebPage* page) {
  legacy_ = legacy;
  RouterConfig config = router_config_of(options_, &rate_limits_);
  if (!options_.admin_key_file.empty()) config.admin_keys = &admin_keys_;
  ServiceOptions own = options;
  if (own.cache_scope == "auto") own.cache_scope = keys_.size() > 1 ? "key" : "global";
  service_ = std::make_unique<ModelService>(pretrained, engine, own, config.rate_limits);
  metrics_ = std::make_unique<MetricsEndpoint>(options_, [this] { return scrape(); });
  config.metrics_keys = metrics_->keys();
  router_ = std::make_unique<Router>(std::move(config), keys_);
  HttpMetrics& http_metrics = service_->metrics().http();
  router_->on_received([&](const std::string& route) { http_metrics.count_received(route); });
  router_->on_record([this, &http_metrics](const RequestRecord& record) {
    http_metrics.count_request(record);
    if (!record.error_code.empty()) service_->metrics().count_error(record.error_code);
    watch_.note(record);
  });
  add_health_routes(*router_, state_, [this] { return service_->is_stalled(); });
  add_openai_routes(*router_, *service_);
  add_openapi_route(*router_);
  add_ollama_routes(*router_, *service_);
  if (!legacy.no_legacy_endpoints) add_worker_routes(*router_, *service_, legacy);
  add_sglang_routes(*router_, *service_);
  add_files_routes(*router_, *service_);
  batches_ = std::make_unique<BatchRunner>(*router_, service_->files());
  add_batches_routes(*router_, *service_, *batches_);
  add_predictions_route(*router_, *service_);
  add_embeddings_route(*router_, *service_);
  add_attention_route(*router_, *service_);
  add_operations_routes(
      *router_, *service_, options_, [this] { return state_.load() == ServerState::kReady; },
      drain_);
  if (page != nullptr) page->add_routes(*router_, page_host_of(*service_));
  metrics_->add_route(*router_);
  metrics_->open();
  switch_->use(*router_);
  state_ = ServerState::kReady;
}

std::string ModelServer::scrape() const {
  return service_->metrics().scrape({.engine = service_->engine().stats(),
                                     .http = server_->stats(),
                                     .num_preparing = service_->num_preparing(),
                                     .num_compiling = service_->num_compiling(),
                                     .is_draining = state_.load() == ServerState::kDraining});
}

WorkerReport ModelServer::report() const {
  const engine::EngineStats stats = service_->engine().stats();
  WorkerReport report;
  report.status = worker_status(*service_, legacy_);
  report.is_multimodal = service_->pretrained().has_vision();
  report.load.kv_usage =
      stats.pages_total > 0 ? static_cast<double>(stats.pages_used) / stats.pages_total : 0.0;
  report.load.num_running = stats.num_running;
  report.load.num_waiting = stats.num_waiting;
  report.load.is_draining = state_.load() == ServerState::kDraining;
  report.load.version = std::string(kVersion);
  return report;
}

void ModelServer::reload() {
  keys_.reload();
  admin_keys_.reload();
  watch_.reopen();
  server_->reload_tls();
}

void ModelServer::announce_drain() { state_ = ServerState::kDraining; }

void ModelServer::refuse_requests() {
  refuses_ = true;
  server_->begin_drain();
}

bool ModelServer::is_idle() const {
  return server_->stats().answers == 0 &&
         (service_ == nullptr || (service_->is_idle() && batches_->is_idle()));
}

}  // namespace llava::serve
