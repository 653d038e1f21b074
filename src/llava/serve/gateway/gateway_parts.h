// SPDX-License-Identifier: Apache-2.0
//
// What all requests that pass through a gateway share.
#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <memory>

#include "llava/serve/client/outgoing_http.h"
#include "llava/serve/gateway/circuit_breakers.h"
#include "llava/serve/gateway/controller_client.h"
#include "llava/serve/gateway/gateway_options.h"
#include "llava/serve/gateway/model_names.h"
#include "llava/serve/gateway/retry_budget.h"
#include "llava/serve/gateway/worker_kinds.h"
#include "llava/serve/metrics/gateway_metrics.h"
#include "llava/serve/moderation/moderator.h"
#include "llava/serve/worker/concurrency_gate.h"

namespace llava::serve {

/// Threads: safe.
struct GatewayParts {
  /// Throws: what ModelNames and Moderator throw.
  explicit GatewayParts(const GatewayOptions& gateway_options);
  /// Ends what is under way.
  ~GatewayParts();
  GatewayParts(const GatewayParts&) = delete;
  GatewayParts& operator=(const GatewayParts&) = delete;

  const GatewayOptions options;
  CircuitBreakers breakers;
  RetryBudget retries;
  GatewayMetrics metrics;
  std::atomic<bool> is_stopping{false};
  boost::asio::thread_pool pool;  ///< reads bodies, translates requests
  std::unique_ptr<OutgoingHttp> outgoing;
  ControllerClient controllers;
  WorkerKinds kinds;
  ModelNames names;
  std::unique_ptr<Moderator> moderator;   ///< null: nobody is asked about texts
  std::shared_ptr<ConcurrencyGate> gate;  ///< null: any number of answers at the same time
};

}  // namespace llava::serve
