// SPDX-License-Identifier: Apache-2.0
//
// PlainServer: a server without a model of its own: keys, health, the log of requests and a drain
// around a set of routes.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "llava/serve/metrics/http_metrics.h"
#include "llava/serve/operations/request_watch.h"
#include "llava/serve/routing/route_set.h"
#include "llava/serve/server/metrics_endpoint.h"
#include "llava/serve/server/server_options.h"

namespace llava::serve {

/// Threads: one thread at a time.
class PlainServer {
 public:
  /// Listens and answers from now on.
  ///
  /// Throws: what HttpServer and ApiKeys throw.
  PlainServer(const ServerOptions& options, std::unique_ptr<RouteSet> routes);
  ~PlainServer();

  std::string address() const;
  /// Where /metrics is when it has a port of its own; else empty.
  std::string metrics_address() const { return metrics_.address(); }
  /// Whether anybody who reaches the port may use it, and others can reach it.
  bool is_exposed() const;

  /// Reads keys and certificates again.   Throws: naming the file; what was in use stays so.
  void reload();

  /// Health checks fail from now on; requests are still taken.
  void announce_drain();
  /// New requests are refused with 503 `draining`.
  void refuse_requests();
  /// Whether every request that was taken has been answered.
  bool is_idle() const;

 private:
  class Admission;

  RouterConfig router_config();
  std::string scrape();

  ServerOptions options_;
  ApiKeys keys_;
  RateLimits rate_limits_;
  RequestWatch watch_;
  HttpMetrics http_metrics_;
  MetricsEndpoint metrics_;
  Router router_;
  std::unique_ptr<RouteSet> routes_;
  std::atomic<bool> is_draining_{false};
  std::unique_ptr<Admission> admission_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace llava::serve
