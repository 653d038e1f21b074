// SPDX-License-Identifier: Apache-2.0
#include "plain_server_command.h"

#include <fmt/format.h>

#include <cstdio>

#include "drain.h"
#include "llava/core/log.h"

namespace llava::app {

void run_plain_server(const ServerSignals& signals, serve::PlainServer& server,
                      serve::WorkerRegistrar* registrar, const serve::ServerOptions& options,
                      const std::string& what) {
  if (server.is_exposed()) {
    log_warning("no_api_key", {{"host", options.host},
                               {"hint", "anybody who reaches this port can use it: --api-key"}});
  }
  if (!server.metrics_address().empty()) {
    fmt::print(stderr, "llava: metrics on {}\n", server.metrics_address());
  }
  fmt::print("{}\n", server.address());
  std::fflush(stdout);
  fmt::print(stderr, "llava: {} answers on {}\n", what, server.address());
  if (signals.wait_for_end([&server] { server.reload(); }) == SIGTERM) {
    drain(signals, server, registrar, options);
  }
}

}  // namespace llava::app
