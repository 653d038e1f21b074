// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/server/plain_server.h"

#include <mutex>
#include <shared_mutex>
#include <utility>

#include "llava/serve/metrics/metric_families.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {

/// Gives requests to the router until the server is about to stop.
class PlainServer::Admission final : public HttpHandler {
 public:
  Admission(const ServerOptions& options, Router& router) : options_(options), router_(router) {}

  void refuse_requests() { refuses_ = true; }
  /// When it returns, no route runs, and none will.
  void close() {
    const std::unique_lock lock(mutex_);
    is_closed_ = true;
  }

  std::optional<HttpResponse> admit(const HttpRequest& head, uint64_t& max_body_bytes) override {
    const bool is_health = head.path == "/health" || head.path.starts_with("/health/");
    if (refuses_.load() && !is_health) return refusal();
    return router_.admit(head, max_body_bytes);
  }
  void handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) override {
    const std::shared_lock lock(mutex_);
    if (is_closed_) return exchange->respond(refusal());
    router_.handle(std::move(request), std::move(exchange));
  }
  HttpResponse refuse(int status, const std::string& message) override {
    return router_.refuse(status, message);
  }

 private:
  HttpResponse refusal() const {
    ApiError error(503, "draining", "this server is about to stop; ask another");
    error.retry_after = 1;
    return styled_error(options_, error);
  }

  const ServerOptions& options_;
  Router& router_;
  std::atomic<bool> refuses_{false};
  std::shared_mutex mutex_;
  bool is_closed_ = false;
};

PlainServer::PlainServer(const ServerOptions& options, std::unique_ptr<RouteSet> routes)
    : options_(options),
      keys_(options.api_key, options.api_key_file),
      rate_limits_(options.rate_limits),
      watch_(options),
      metrics_(options, [this] { return scrape(); }),
      router_(router_config(), keys_),
      routes_(std::move(routes)),
      admission_(std::make_unique<Admission>(options_, router_)) {
  routes_->add_routes(router_);
  router_.add("GET", "/health/live", Access::kOpen, [](const RouteCall& call) {
    call.exchange->respond(json_response({{"status", "ok"}}));
  });
  for (const char* path : {"/health", "/health/ready"}) {
    router_.add("GET", path, Access::kOpen, [this](const RouteCall& call) {
      const bool is_ready = !is_draining_.load();
      call.exchange->respond(
          json_response({{"status", is_ready ? "ok" : "draining"}}, is_ready ? 200 : 503));
    });
  }
  metrics_.add_route(router_);
  router_.on_received([this](const std::string& route) { http_metrics_.count_received(route); });
  router_.on_record([this](const RequestRecord& record) {
    http_metrics_.count_request(record);
    watch_.note(record);
  });
  server_ = std::make_unique<HttpServer>(http_config_of(options), *admission_);
  metrics_.open();
}

RouterConfig PlainServer::router_config() {
  RouterConfig config = router_config_of(options_, &rate_limits_);
  config.metrics_keys = metrics_.keys();
  return config;
}

std::string PlainServer::scrape() {
  http_metrics_.update(server_->stats(), is_draining_.load());
  return metrics_text(http_metrics_.collect()) + routes_->metrics();
}

PlainServer::~PlainServer() {
  server_->stop_listening();
  metrics_.close();
  admission_->close();
  // They hold exchanges, which the server must outlive.
  routes_.reset();
  server_.reset();
}

std::string PlainServer::address() const { return server_->address(); }

bool PlainServer::is_exposed() const {
  return keys_.is_open() && router_config_of(options_).allowed_hosts.empty();
}

void PlainServer::reload() {
  keys_.reload();
  watch_.reopen();
  server_->reload_tls();
}

void PlainServer::announce_drain() { is_draining_ = true; }

void PlainServer::refuse_requests() {
  admission_->refuse_requests();
  server_->begin_drain();
}

bool PlainServer::is_idle() const { return server_->stats().answers == 0; }

}  // namespace llava::serve
