// SPDX-License-Identifier: Apache-2.0
//
// `llava controller`: knows the workers and chooses one for each request; the original's
// controller.
#include "command.h"
#include "command_line.h"
#include "llava/serve/controller/controller_api.h"
#include "llava/serve/controller/worker_discovery.h"
#include "plain_server_command.h"
#include "server_log.h"

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
  std::string discovery;

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
    v.field(
        "discovery", discovery,
        "also take the workers at all addresses of a name, as dns:NAME:PORT, asking them every\n"
        "5 seconds: for workers that do not register");
    server.describe(v);
    serve::describe_log_dir(v, server);
  }
};

}  // namespace

int controller_command(const Arguments& arguments) {
  ControllerCommandOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  configure_server_log(options.server, options.server.log_dir, "controller");
  const ServerSignals signals;
  if (!options.worker_token.empty()) options.server.api_key.push_back(options.worker_token);
  serve::ControllerOptions own{
      .dispatch_method = *serve::parse_dispatch_method(options.dispatch_method),
      .worker_token = options.worker_token};
  if (!options.discovery.empty()) {
    own.find_workers = [name = serve::read_discovery(options.discovery)] {
      return serve::find_workers(name);
    };
  }
  auto controller = std::make_unique<serve::Controller>(own);
  serve::PlainServer server(options.server, std::move(controller));
  run_plain_server(signals, server, nullptr, options.server, "the controller");
  return 0;
}

}  // namespace llava::app
