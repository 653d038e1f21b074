// SPDX-License-Identifier: Apache-2.0
#include "model_server_command.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "drain.h"
#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/log.h"
#include "llava/engine/model_identity.h"
#include "llava/engine/parallel/parallel_runner.h"
#include "rank_processes.h"
#include "server_log.h"
#include "server_signals.h"
#include "torch_program.h"

namespace llava::app {
namespace {

// Threads without a flag: ranks, or replicas, share the cores.
RuntimeOptions runtime_of_part(const ModelServerOptions& options) {
  RuntimeOptions runtime = options.runtime;
  const RankOptions& ranks = options.ranks;
  if (ranks.tp == 1 && ranks.dp == 1) return runtime;
  if (ranks.tp > 1 && runtime.device != "cpu") {
    fail(ErrorCode::kUnsupported,
         "--tp {} shares a model between processes on the processor, and --device is '{}'",
         ranks.tp, runtime.device);
  }
  if (ranks.dp > 1 && needs_torch(runtime)) {
    fail(ErrorCode::kUnsupported,
         "--dp {} runs replicas on the native backend, and here are --device '{}' and --backend "
         "'{}': start a 'llava worker' for each device, and a 'llava controller' before them",
         ranks.dp, runtime.device, runtime.backend);
  }
  if (runtime.threads == 0) {
    const int32_t num_parts = ranks.dp > 1 ? ranks.dp : ranks.num_local();
    runtime.threads = std::max(1, ThreadPool().num_threads() / num_parts);
  }
  return runtime;
}

template <class Rank>
void take_share(Session& session, Rank& rank) {
  Context ctx = session.runtime.context();
  model::take_share(ctx, *session.pretrained.model, rank.share(),
                    [&rank](Context& c, const Tensor& part) { return rank.sum(c, part); });
}

// A template that is given takes the place of the checkpoint's, whatever that is.
void use_chat_template(engine::Pretrained& pretrained, const std::string& source) {
  constexpr uint64_t kMaxBytes = 1 << 20;
  const bool is_text =
      source.find("{{") != std::string::npos || source.find("{%") != std::string::npos;
  pretrained.chat_template = is_text
                                 ? text::ChatTemplate::parse(source, "--chat-template")
                                 : text::ChatTemplate::parse(read_file(source, kMaxBytes), source);
  pretrained.conv_mode.clear();
}

void require_consistent(const ModelServerOptions& options) {
  options.ranks.require_consistent();
  if (!options.chat_template.empty() && !options.service.conv_mode.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "--chat-template and --conv-mode '{}' each name a template: leave one of them out",
         options.service.conv_mode);
  }
  if (options.deterministic && needs_torch(options.runtime)) {
    fail(ErrorCode::kUnsupported,
         "--deterministic needs the native backend, and here are --device '{}' and --backend '{}', "
         "whose sums depend on how many requests are computed together",
         options.runtime.device, options.runtime.backend);
  }
  if (options.service.log_content && options.server.request_log.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "--log-content writes into the file of --request-log, and there is none: name one");
  }
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
  // Pictures are the first rank's unless all share them.
  model::LlavaModel& model = *session.pretrained.model;
  if (!options.ranks.encoder_dp) {
    model.vision_tower.reset();
    model.projector.reset();
  }
  engine::follow_leader(session.runtime.context(), model, name, rank);
  return 0;
}

}  // namespace

int run_model_server(const ModelServerOptions& options,
                     std::optional<serve::RegistrationOptions> registration) {
  require_consistent(options);
  const RuntimeOptions runtime = runtime_of_part(options);
  require_backend(runtime);
  if (std::optional<engine::FollowingRank> rank = following_rank()) {
    return follow(options, runtime, *rank);
  }
  if (options.ranks.node_rank > 0) return lend_ranks(options.ranks, options.command);
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
  if (!options.chat_template.empty()) use_chat_template(session->pretrained, options.chat_template);
  if (ranks) {
    const std::string name = identity(options, *session);
    take_share(*session, ranks->leader());
    ranks->leader().wait_until_ready(name);
  }
  session->engine_options = options.engine;
  for (int32_t i = 1; i < options.ranks.dp; ++i) session->other_runtimes.emplace_back(runtime);
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
