// SPDX-License-Identifier: Apache-2.0
//
// `llava worker`: one model that controllers know; the original's model_worker.
#include "command.h"
#include "command_line.h"
#include "llava/core/log.h"
#include "llava/engine/prompt_images.h"
#include "llava/serve/controller/worker_table.h"
#include "model_server_command.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "worker",
    .summary = "Serves a model and registers it with controllers: the original's model worker.",
    .details =
        "Answers everything that 'llava serve' does. Registers when the model is loaded, and "
        "again\n"
        "whenever a controller has forgotten it.",
    .examples =
        "  llava worker --controller http://localhost:10000 --port 40000 --model-path "
        "llava-v1.5-7b\n"
        "  llava worker --controller-address http://a:10000,http://b:10000 --host 0.0.0.0 \\\n"
        "      --worker-address http://10.0.0.5:40000 --port 40000"};

struct WorkerOptions {
  ModelServerOptions server;
  std::string worker_address;
  std::string controller_address = "http://localhost:21001";
  std::string worker_token;
  int32_t limit_model_concurrency = 0;
  bool no_register = false;
  bool multi_modal = false;
  bool use_flash_attn = false;
  double speed = 1;

  WorkerOptions() {
    server.server.host = "localhost";
    server.server.port = 21002;
  }

  template <class V>
  void describe(V& v) {
    v.field("worker-address", worker_address,
            "where others reach this worker, which is also its name; default: its own address");
    v.field("worker", worker_address, "the same, as the original's instructions shorten it");
    v.field("controller-address", controller_address,
            "controllers to register with, with commas between; each is told by itself");
    v.field("worker-token", worker_token,
            "secret that controllers and clients have to show, and that is shown to controllers");
    v.field("limit-model-concurrency", limit_model_concurrency,
            "answers made at the same time; others wait; 0: as many as --max-running-requests",
            in_range(0, 1 << 16));
    v.field("stream-interval", server.legacy.stream_interval,
            "tokens between two records of a stream", in_range(1, 1 << 16));
    v.field("legacy-max-new-tokens", server.legacy.max_new_tokens,
            "most tokens of an answer in the original's protocol", in_range(1, 1 << 20));
    v.field("speed", speed, "how fast this worker is beside others, for the controller's choice");
    v.field("no-register", no_register, "tell no controller");
    v.field("multi-modal", multi_modal,
            "of the original, deprecated there: the checkpoint says whether it sees pictures");
    v.field("use-flash-attn", use_flash_attn,
            "of the original: attention here never holds all of its scores, with or without it");
    server.describe(v);
    serve::describe_log_dir(v, server.server);
  }
};

}  // namespace

int worker_command(const Arguments& arguments) {
  WorkerOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  if (!(options.speed > 0 && options.speed <= serve::kMaxWorkerSpeed)) {
    fail(ErrorCode::kInvalidArgument, "--speed is {}, expected a number above 0", options.speed);
  }
  if (options.multi_modal) {
    log_warning("deprecated_flag", {{"flag", "--multi-modal"},
                                    {"hint", "the checkpoint says whether it sees pictures"}});
  }
  options.server.command = whole_command(kHelp, arguments);
  options.server.log_dir = options.server.server.log_dir;
  options.server.log_name = "model_worker";
  options.server.legacy.speed = options.speed;
  if (options.limit_model_concurrency > 0) {
    options.server.engine.config.scheduler.max_running_requests = options.limit_model_concurrency;
  }
  if (!options.worker_token.empty()) {
    options.server.server.api_key.push_back(options.worker_token);
  }
  if (options.no_register) return run_model_server(options.server, std::nullopt);
  return run_model_server(
      options.server,
      serve::RegistrationOptions{.worker_address = options.worker_address,
                                 .controllers = engine::split_list(options.controller_address, ","),
                                 .token = options.worker_token});
}

}  // namespace llava::app
