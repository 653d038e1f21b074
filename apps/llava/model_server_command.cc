// SPDX-License-Identifier: Apache-2.0
#include "model_server_command.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "drain.h"
#include "llava/core/error.h"
#include "llava/core/log.h"
#include "server_log.h"
#include "server_signals.h"
#include "torch_program.h"

namespace llava::app {
int run_model_server(const ModelServerOptions& options,
                     std::optional<serve::RegistrationOptions> registration) {
  require_backend(options.runtime);
  if (options.service.log_content && options.server.request_log.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "--log-content writes into the file of --request-log, and there is none: name one");
  }
  configure_server_log(options.server, options.log_dir, options.log_name,
                       options.log_name == "model_worker");
  const ServerSignals signals;
  // The server ends before what it serves, and who speaks of it before the server.
  std::optional<Session> session;
  std::optional<serve::WebPage> page;
  if (options.web) page.emplace(*options.web);
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
  server.on_drain_request([] { kill(getpid(), SIGTERM); });
  server.serve(session->pretrained, *session->engine, options.service, options.legacy,
               page ? &*page : nullptr);
  if (registration) {
    if (registration->worker_address.empty()) registration->worker_address = server.address();
    registrar.emplace(*registration, [&server] { return server.report(); });
  }
  if (!server.metrics_address().empty()) {
    fmt::print(stderr, "llava: metrics on {}\n", server.metrics_address());
  }
  fmt::print("{}\n", server.address());
  std::fflush(stdout);
  fmt::print(stderr, "llava: {} answers on {}/v1\n", session->pretrained.name, server.address());
  options.on_ready(server.address());
  if (signals.wait_for_end([&server] { server.reload(); }) == SIGTERM) {
    drain(signals, server, registrar ? &*registrar : nullptr, options.server);
  }
  return 0;
}

}  // namespace llava::app
