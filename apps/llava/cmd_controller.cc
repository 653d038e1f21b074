// SPDX-License-Identifier: Apache-2.0
//
// `llava controller`: knows the workers and chooses one for each request; the original's
// controller.
#include <cstdio>

#include "command.h"
#include "command_line.h"
#include "llava/core/log.h"
#include "llava/serve/server/controller_server.h"
#include "server_signals.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "controller",
    .summary = "Knows the workers and chooses one for each request: the original's controller.",
    .details =
        "Its table is not kept: after a restart workers are back with their next heartbeat, "
        "within\n"
        "15 seconds.",
    .examples =
        "  llava controller --host 0.0.0.0 --port 10000\n"
        "  llava worker --controller http://localhost:10000 --port 40000 --model-path "
        "llava-v1.5-7b"};

struct ControllerCommandOptions {
  serve::ServerOptions server;
  std::string dispatch_method = "shortest_queue";
  std::string worker_token;

  ControllerCommandOptions() {
    server.host = "localhost";
    server.port = 21001;
    server.drain_delay = 0;
  }

  template <class V>
  void describe(V& v) {
    v.field("dispatch-method", dispatch_method,
            "how a worker is chosen: shortest_queue, lottery (by chance and speed), least_load\n"
            "(queue and cache) or prefix_hash (requests alike go to the same worker)",
            one_of({"shortest_queue", "lottery", "least_load", "prefix_hash"}));
    v.field("worker-token", worker_token,
            "secret that workers and clients have to show, and that is shown to workers");
    server.describe(v);
  }
};

}  // namespace

int controller_command(const Arguments& arguments) {
  ControllerCommandOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  const ServerSignals signals;
  if (!options.worker_token.empty()) options.server.api_key.push_back(options.worker_token);
  serve::ControllerServer server(
      options.server, {.dispatch_method = *serve::parse_dispatch_method(options.dispatch_method),
                       .worker_token = options.worker_token});
  fmt::print("{}\n", server.address());
  std::fflush(stdout);
  fmt::print(stderr, "llava: the controller answers on {}\n", server.address());
  signals.wait_for_end([&server] { server.reload(); });
  return 0;
}

}  // namespace llava::app
