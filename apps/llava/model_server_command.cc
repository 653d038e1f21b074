// SPDX-License-Identifier: Apache-2.0
#include "model_server_command.h"

#include <chrono>
#include <cstdio>

#include "llava/core/log.h"
#include "server_signals.h"
#include "torch_program.h"

namespace llava::app {
namespace {

std::chrono::milliseconds to_ms(float seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

/// Lets running requests end, unless another signal comes.
void drain(const ServerSignals& signals, serve::ModelServer& server,
           serve::WorkerRegistrar* registrar, const serve::ServerOptions& options) {
  using Clock = std::chrono::steady_clock;
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

}  // namespace

int run_model_server(const ModelServerOptions& options,
                     std::optional<serve::RegistrationOptions> registration) {
  require_backend(options.runtime);
  const ServerSignals signals;
  // The server ends before what it serves, and who speaks of it before the server.
  std::optional<Session> session;
  serve::ModelServer server(options.server);
  std::optional<serve::WorkerRegistrar> registrar;
  fmt::print(stderr, "llava: listening on {}, loading the model\n", server.address());
  if (server.is_exposed()) {
    log_warning("no_api_key", {{"host", options.server.host},
                               {"hint", "anybody who reaches this port can use it: --api-key"}});
  }
  session.emplace(options.runtime, options.load);
  session->engine_options = options.engine;
  session->engine = session->open_engine(1);
  server.serve(session->pretrained, *session->engine, options.service, options.legacy);
  if (registration) {
    if (registration->worker_address.empty()) registration->worker_address = server.address();
    registrar.emplace(*registration, [&server] { return server.report(); });
  }
  fmt::print("{}\n", server.address());
  std::fflush(stdout);
  fmt::print(stderr, "llava: {} answers on {}/v1\n", session->pretrained.name, server.address());
  if (signals.wait_for_end([&server] { server.reload(); }) == SIGTERM) {
    drain(signals, server, registrar ? &*registrar : nullptr, options.server);
  }
  return 0;
}

}  // namespace llava::app
