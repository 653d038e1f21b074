// SPDX-License-Identifier: Apache-2.0
//
// `llava serve`: one model over HTTP.
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <optional>

#include "command.h"
#include "command_line.h"
#include "llava/core/log.h"
#include "llava/serve/server/model_server.h"
#include "session.h"
#include "torch_program.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "serve",
    .summary =
        "Serves a model over HTTP: OpenAI's API, on this machine only unless told otherwise.",
    .details =
        "Prints the address when the port is open and again when the model answers. SIGTERM lets\n"
        "running requests end; SIGINT, or a second SIGTERM, stops at once.",
    .examples =
        "  llava serve\n"
        "  llava serve --model-path llava-v1.5-7b --port 8080 --api-key secret\n"
        "  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\\n"
        "      -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'"};

struct ServeOptions {
  serve::ServerOptions server;
  serve::ServiceOptions service;
  engine::LoadRequest load;
  RuntimeOptions runtime;
  engine::EngineOptions engine;

  template <class V>
  void describe(V& v) {
    server.describe(v);
    service.describe(v);
    load.describe(v);
    runtime.describe(v);
    engine.describe(v);
  }
};

/// Signals that the main thread waits for; blocked everywhere else from here on.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

/// The next signal, or nothing after that time.
std::optional<int> wait_for_signal(const sigset_t& signals, std::chrono::milliseconds timeout) {
  const timespec limit{.tv_sec = timeout.count() / 1000,
                       .tv_nsec = timeout.count() % 1000 * 1'000'000};
  const int signal = sigtimedwait(&signals, nullptr, &limit);
  return signal > 0 ? std::optional(signal) : std::nullopt;
}

bool is_stop(std::optional<int> signal) { return signal == SIGINT || signal == SIGTERM; }

/// Returns with the signal that ends the program.
int wait_for_end(const sigset_t& signals, serve::ModelServer& server) {
  for (;;) {
    const auto signal = wait_for_signal(signals, std::chrono::hours(1));
    if (is_stop(signal)) return *signal;
    if (signal != SIGHUP) continue;
    try {
      server.reload();
      log_info("reloaded");
    } catch (const Error& error) {
      log_error("reload_failed", {{"error", error.what()}});
    }
  }
}

/// Lets running requests end, unless another signal comes.
void drain(const sigset_t& signals, serve::ModelServer& server,
           const serve::ServerOptions& options) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](float value) {
    return std::chrono::milliseconds(static_cast<int64_t>(value * 1000));
  };
  server.announce_drain();
  log_info("draining");
  if (is_stop(wait_for_signal(signals, seconds(options.drain_delay)))) return;
  server.refuse_requests();
  const auto end = Clock::now() + seconds(options.drain_timeout);
  while (!server.is_idle() && Clock::now() < end) {
    if (is_stop(wait_for_signal(signals, std::chrono::milliseconds(20)))) return;
  }
}

}  // namespace

int serve_command(const Arguments& arguments) {
  ServeOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  require_backend(options.runtime);
  const sigset_t signals = block_signals();
  // The server ends before what it serves.
  std::optional<Session> session;
  serve::ModelServer server(options.server);
  fmt::print(stderr, "llava: listening on {}, loading the model\n", server.address());
  if (server.is_exposed()) {
    log_warning("no_api_key", {{"host", options.server.host},
                               {"hint", "anybody who reaches this port can use it: --api-key"}});
  }
  session.emplace(options.runtime, options.load);
  session->engine_options = options.engine;
  session->engine = session->open_engine(1);
  server.serve(session->pretrained, *session->engine, options.service);
  fmt::print("{}\n", server.address());
  std::fflush(stdout);
  fmt::print(stderr, "llava: {} answers on {}/v1\n", session->pretrained.name, server.address());
  if (wait_for_end(signals, server) == SIGTERM) drain(signals, server, options.server);
  return 0;
}

}  // namespace llava::app
