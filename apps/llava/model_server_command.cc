// SPDX-License-Identifier: Apache-2.0
#include "model_server_command.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "drain.h"
#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/engine/model_identity.h"
#include "llava/engine/parallel/parallel_runner.h"
#include "rank_processes.h"
#include "server_log.h"
#include "server_signals.h"
#include "torch_program.h"

namespace llava::app {
namespace {

// Threads without a flag: the ranks share the cores.
RuntimeOptions runtime_of_rank(const ModelServerOptions& options) {
  RuntimeOptions runtime = options.runtime;
  if (options.ranks.tp == 1) return runtime;
  if (runtime.device != "cpu") {
    fail(ErrorCode::kUnsupported,
         "--tp {} shares a model between processes on the processor, and --device is '{}'",
         options.ranks.tp, runtime.device);
  }
  if (runtime.threads == 0) {
    runtime.threads = std::max(1, ThreadPool().num_threads() / options.ranks.num_local());
  }
  return runtime;
}

template <class Rank>
void take_share(Session& session, Rank& rank) {
  Context ctx = session.runtime.context();
  model::take_share(ctx, *session.pretrained.model, rank.share(),
                    [&rank](Context& c, const Tensor& part) { return rank.sum(c, part); });
}

// Which model it is, where machines may have different ones.
std::string identity(const ModelServerOptions& options, Session& session) {
  if (options.ranks.nnodes == 1) return {};
  Context ctx = session.runtime.context();
  return engine::identify_model(ctx, *session.pretrained.model).prefixes;
}

int follow(const ModelServerOptions& options, const RuntimeOptions& runtime,
           engine::FollowingRank& rank) {
  Session session(runtime, options.load);
  const std::string name = identity(options, session);
  take_share(session, rank);
  // What only the first rank computes.
  model::LlavaModel& model = *session.pretrained.model;
  if (!options.ranks.encoder_dp) {
    model.vision_tower.reset();
    model.projector.reset();
  }
  model.lm_head.weight.value = Tensor();
  engine::follow_leader(session.runtime.context(), model, name, rank);
  return 0;
}

}  // namespace

int run_model_server(const ModelServerOptions& options,
                     std::optional<serve::RegistrationOptions> registration) {
  options.ranks.require_consistent();
  const RuntimeOptions runtime = runtime_of_rank(options);
  require_backend(runtime);
  if (std::optional<engine::FollowingRank> rank = following_rank()) {
    return follow(options, runtime, *rank);
  }
  if (options.ranks.node_rank > 0) return lend_ranks(options.ranks, options.command);
  if (options.service.log_content && options.server.request_log.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "--log-content writes into the file of --request-log, and there is none: name one");
  }
  configure_server_log(options.server, options.log_dir, options.log_name,
                       options.log_name == "model_worker");
  // Other ranks are started before there are threads, and end after all that uses them.
  std::optional<RankProcesses> ranks;
  if (options.ranks.tp > 1) ranks.emplace(options.ranks, options.command);
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
  session.emplace(runtime, options.load);
  if (ranks) {
    const std::string name = identity(options, *session);
    take_share(*session, ranks->leader());
    ranks->leader().wait_until_ready(name);
  }
  session->engine_options = options.engine;
  session->engine = session->open_engine(1, ranks ? &ranks->leader() : nullptr);
  if (ranks) ranks->watch();
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
