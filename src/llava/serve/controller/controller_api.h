// SPDX-License-Identifier: Apache-2.0
//
// The controller's routes: who is there, who gets a request, and requests that go through it.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "llava/core/guarded.h"
#include "llava/serve/client/outgoing_http.h"
#include "llava/serve/controller/worker_table.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

struct ControllerOptions {
  DispatchMethod dispatch_method = DispatchMethod::kShortestQueue;
  /// Sent to workers that ask for it; empty: none.
  std::string worker_token;
};

/// The controller behind its routes. Nothing it does waits for a worker: probes, refreshes and
/// relays go on beside each other.
///
/// Threads: safe.
class Controller {
 public:
  explicit Controller(const ControllerOptions& options);
  /// Ends relays and probes.
  ~Controller();
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  /// Adds the routes; the controller outlives the router's server.
  void add_routes(Router& router);

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

  ControllerOptions options_;
  Guarded<WorkerTable> table_;
  Guarded<Generator> random_;
  std::mutex sweep_mutex_;
  std::condition_variable_any sweep_wake_;
  OutgoingHttp outgoing_;
  std::jthread sweeper_;
};

}  // namespace llava::serve
