// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/server/metrics_endpoint.h"

#include <utility>
#include <vector>

#include "llava/serve/metrics/metric_families.h"

namespace llava::serve {
namespace {

std::vector<std::string> keys_of(const ServerOptions& options) {
  return options.metrics_key.empty() ? std::vector<std::string>()
                                     : std::vector<std::string>{options.metrics_key};
}

void add_to(Router& router, const std::function<std::string()>& scrape) {
  router.add("GET", "/metrics", Access::kMetrics, [scrape](const RouteCall& call) {
    call.exchange->respond(make_response(200, kMetricsType, scrape()));
  });
}

}  // namespace

MetricsEndpoint::MetricsEndpoint(const ServerOptions& options, std::function<std::string()> scrape)
    : options_(options),
      scrape_(std::move(scrape)),
      keys_(keys_of(options), ""),
      no_keys_({}, "") {}

MetricsEndpoint::~MetricsEndpoint() { close(); }

const ApiKeys* MetricsEndpoint::keys() const { return keys_.is_open() ? nullptr : &keys_; }

void MetricsEndpoint::add_route(Router& router) const {
  if (options_.metrics_port < 0) add_to(router, scrape_);
}

void MetricsEndpoint::open() {
  if (options_.metrics_port < 0) return;
  ServerOptions own = options_;
  own.port = options_.metrics_port;
  own.io_threads = 1;
  RouterConfig config = router_config_of(own);
  config.metrics_keys = keys();
  // Whoever reaches this port may scrape, unless there is a key for it.
  router_ = std::make_unique<Router>(std::move(config), no_keys_);
  add_to(*router_, scrape_);
  server_ = std::make_unique<HttpServer>(http_config_of(own), *router_);
}

void MetricsEndpoint::close() {
  if (server_) server_->stop_listening();
  server_.reset();
}

}  // namespace llava::serve
