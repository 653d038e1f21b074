// SPDX-License-Identifier: Apache-2.0
//
// What SIGTERM starts: a server that lets running requests end.
#pragma once

#include <chrono>

#include "llava/core/log.h"
#include "llava/serve/server/server_options.h"
#include "llava/serve/worker/worker_registration.h"
#include "server_signals.h"

namespace llava::app {

/// Drains, unless another signal comes. `registrar` may be null.
template <class Server>
void drain(const ServerSignals& signals, Server& server, serve::WorkerRegistrar* registrar,
           const serve::ServerOptions& options) {
  using Clock = std::chrono::steady_clock;
  const auto to_ms = [](float seconds) {
    return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
  };
  server.announce_drain();
  log_info("draining");
  if (registrar != nullptr) registrar->leave();
  if (signals.wait(to_ms(options.drain_delay))) return;
  server.refuse_requests();
  const auto end = Clock::now() + to_ms(options.drain_timeout);
  while (!server.is_idle() && Clock::now() < end) {
    if (signals.wait(std::chrono::milliseconds(20))) return;
  }
}

}  // namespace llava::app
