// SPDX-License-Identifier: Apache-2.0
//
// The controller's routes: who is there, who gets a request, and requests that go through it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "llava/core/guarded.h"
#include "llava/serve/client/outgoing_http.h"
#include "llava/serve/controller/worker_table.h"
#include "llava/serve/metrics/controller_metrics.h"
#include "llava/serve/routing/route_set.h"

namespace llava::serve {

struct ControllerOptions {
  DispatchMethod dispatch_method = DispatchMethod::kShortestQueue;
  /// Sent to workers that ask for it; empty: none.
  std::string worker_token;
  /// Finds workers that do not register: the base URLs there are now, or nothing when that cannot
  /// be said. Called again and again on a thread of its own; empty: all workers register.
  std::function<std::optional<std::vector<std::string>>()> find_workers = {};
  std::chrono::milliseconds discovery_pause{5000};
};

/// The controller behind its routes. Nothing it does waits for a worker: probes, refreshes and
/// relays go on beside each other.
///
/// Threads: safe.
class Controller final : public RouteSet {
 public:
  explicit Controller(const ControllerOptions& options);
  /// Ends relays and probes.
  ~Controller() override;

  void add_routes(Router& router) override;
  std::string metrics() override;

 private:
  class Relay;
  class Survey;

  void register_worker(const RouteCall& call);
  void refresh(const RouteCall& call);
  void report_status(const RouteCall& call);
  void finish_registration(WorkerRegistration registration, bool is_verbose,
                           const std::shared_ptr<HttpExchange>& exchange);
  std::optional<std::string> dispatch(const DispatchRequest& request);
  OutgoingRequest status_request(const std::string& worker) const;
  void sweep(const std::stop_token& stop);
  void discover(const std::stop_token& stop);
  void take_discovered(const std::string& worker, const WorkerStatus& status);

  ControllerOptions options_;
  Guarded<WorkerTable> table_;
  Guarded<Generator> random_;
  ControllerMetrics metrics_;
  std::mutex sweep_mutex_;
  std::condition_variable_any sweep_wake_;
  OutgoingHttp outgoing_;
  std::jthread sweeper_;
  std::jthread discoverer_;
};

}  // namespace llava::serve
