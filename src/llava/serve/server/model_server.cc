// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/server/model_server.h"

#include <utility>

#include "llava/core/log.h"
#include "llava/core/version.h"
#include "llava/serve/ollama/ollama_api.h"
#include "llava/serve/openai/openai_api.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/sglang/sglang_api.h"

namespace llava::serve {
namespace {

HttpResponse unavailable(const char* code, const char* message) {
  ApiError error(503, code, message);
  error.retry_after = 1;
  return error_response(error);
}

bool is_health(const std::string& path) {
  return path == "/health" || path.starts_with("/health/");
}

/// The bodies are llama.cpp's.
HttpResponse health_of(ServerState state) {
  switch (state) {
    case ServerState::kLoading:
      return json_response(
          {{"error", {{"code", 503}, {"message", "Loading model"}, {"type", "unavailable_error"}}}},
          503);
    case ServerState::kDraining:
      return json_response(
          {{"error", {{"code", 503}, {"message", "Draining"}, {"type", "unavailable_error"}}}},
          503);
    case ServerState::kReady:
      break;
  }
  return json_response({{"status", "ok"}});
}

void add_health_routes(Router& router, const std::atomic<ServerState>& state) {
  const auto answer = [&state](const RouteCall& call) {
    call.exchange->respond(health_of(state.load()));
  };
  router.add("GET", "/health", Access::kOpen, answer);
  router.add("GET", "/health/ready", Access::kOpen, answer);
  router.add("GET", "/health/live", Access::kOpen, [](const RouteCall& call) {
    call.exchange->respond(json_response({{"status", "ok"}}));
  });
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
        return unavailable("model_loading", "the model is being loaded");
      }
      if (server_.refuses_.load()) {
        return unavailable("draining", "this server is about to stop; ask another");
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
    : options_(options), keys_(options.api_key, options.api_key_file) {
  loading_ = std::make_unique<Router>(router_config_of(options), keys_);
  add_health_routes(*loading_, state_);
  switch_ = std::make_unique<Switch>(*this, *loading_);
  server_ = std::make_unique<HttpServer>(http_config_of(options), *switch_);
}

ModelServer::~ModelServer() {
  server_->stop_listening();
  if (service_) service_->stop();
  server_.reset();
}

std::string ModelServer::address() const { return server_->address(); }

bool ModelServer::is_exposed() const {
  return keys_.is_open() && router_config_of(options_).allowed_hosts.empty();
}

void ModelServer::serve(const engine::Pretrained& pretrained, engine::Engine& engine,
                        const ServiceOptions& options, const LegacyOptions& legacy) {
  legacy_ = legacy;
  service_ = std::make_unique<ModelService>(pretrained, engine, options);
  router_ = std::make_unique<Router>(router_config_of(options_), keys_);
  router_->on_record([&metrics = service_->metrics()](const RequestRecord& record) {
    metrics.count_request(record);
    log_info("request", {{"id", record.id},
                         {"client", record.client},
                         {"method", record.method},
                         {"route", record.route},
                         {"status", record.status},
                         {"ms", record.milliseconds}});
  });
  add_health_routes(*router_, state_);
  add_openai_routes(*router_, *service_);
  add_ollama_routes(*router_, *service_);
  add_worker_routes(*router_, *service_, legacy);
  add_sglang_routes(*router_, *service_);
  router_->add("GET", "/metrics", Access::kKey, [this](const RouteCall& call) {
    call.exchange->respond(
        make_response(200, "text/plain; version=0.0.4; charset=utf-8",
                      service_->metrics().scrape(service_->engine().stats(), server_->stats())));
  });
  switch_->use(*router_);
  state_ = ServerState::kReady;
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
  server_->reload_tls();
}

void ModelServer::announce_drain() { state_ = ServerState::kDraining; }

void ModelServer::refuse_requests() {
  refuses_ = true;
  server_->begin_drain();
}

bool ModelServer::is_idle() const {
  return server_->stats().answers == 0 && (service_ == nullptr || service_->is_idle());
}

}  // namespace llava::serve
