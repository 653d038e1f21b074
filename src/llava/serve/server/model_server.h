// SPDX-License-Identifier: Apache-2.0
//
// ModelServer: a server from the moment its port opens: it says that it loads, serves a model, and
// drains.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "llava/serve/batches/batch_runner.h"
#include "llava/serve/chat/model_service.h"
#include "llava/serve/legacy/worker_api.h"
#include "llava/serve/operations/request_watch.h"
#include "llava/serve/server/metrics_endpoint.h"
#include "llava/serve/server/server_options.h"
#include "llava/serve/web/web_page.h"
#include "llava/serve/worker/worker_registration.h"

namespace llava::serve {

/// Where a server is in its life.
enum class ServerState : uint8_t { kLoading, kReady, kDraining };

/// Threads: one thread at a time.
class ModelServer {
 public:
  /// Opens the port; requests are answered with 503 `model_loading` until `serve`.
  ///
  /// Throws: what HttpServer and ApiKeys throw.
  explicit ModelServer(const ServerOptions& options);
  ~ModelServer();

  std::string address() const;
  /// Where /metrics is when it has a port of its own, after `serve`; else empty.
  std::string metrics_address() const { return metrics_ ? metrics_->address() : ""; }
  /// Whether anybody who reaches the port may use it, and others can reach it.
  bool is_exposed() const;

  /// Serves this model from now on, with a page for people where there is one; all three outlive
  /// the server.
  void serve(const engine::Pretrained& pretrained, engine::Engine& engine,
             const ServiceOptions& options, const LegacyOptions& legacy = {},
             WebPage* page = nullptr);

  /// What it says to controllers.   From any thread, after `serve`.
  WorkerReport report() const;

  /// Reads keys and certificates again.   Throws: naming the file; what was in use stays so.
  void reload();

  /// Health checks fail from now on; requests are still taken.
  void announce_drain();
  /// New requests are refused with 503 `draining`.
  void refuse_requests();
  /// What is to be done when an administrator asks for a drain; before `serve`.
  void on_drain_request(std::function<void()> callback) { drain_ = std::move(callback); }
  /// Whether every request that was taken has been answered.
  bool is_idle() const;

 private:
  class Switch;

  std::string scrape() const;

  ServerOptions options_;
  ApiKeys keys_;
  ApiKeys admin_keys_;
  RateLimits rate_limits_;
  RequestWatch watch_;
  std::atomic<ServerState> state_{ServerState::kLoading};
  std::atomic<bool> refuses_{false};
  LegacyOptions legacy_;
  std::function<void()> drain_;
  std::unique_ptr<Router> loading_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<ModelService> service_;
  std::unique_ptr<BatchRunner> batches_;
  std::unique_ptr<Switch> switch_;
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<MetricsEndpoint> metrics_;
};

}  // namespace llava::serve
