// SPDX-License-Identifier: Apache-2.0
//
// `llava sglang-worker`: a model behind a server of SGLang's protocol, as a worker that controllers
// know; the original's sglang_worker.
#include "command.h"
#include "command_line.h"
#include "llava/engine/prompt_images.h"
#include "llava/serve/sglang/sglang_worker.h"
#include "llava/text/choose_template.h"
#include "plain_server_command.h"
#include "server_log.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "sglang-worker",
    .summary =
        "Makes an SGLang server a worker that controllers know: the original's SGLang worker.",
    .details =
        "Loads no model: it passes the original's worker protocol on to a server that speaks\n"
        "SGLang's, which every 'llava serve' does too.",
    .examples =
        "  llava sglang-worker --sgl-endpoint http://127.0.0.1:30000 --port 40002 \\\n"
        "      --controller http://localhost:10000"};

struct SglangWorkerCommandOptions {
  serve::ServerOptions server;
  std::string worker_address;
  std::string controller_address = "http://localhost:21001";
  std::string worker_token;
  std::string model_name;
  std::string sgl_endpoint;
  std::string sgl_api_key;
  int32_t limit_model_concurrency = 5;
  int32_t stream_interval = 1;
  int32_t legacy_max_new_tokens = 1024;
  bool no_register = false;

  SglangWorkerCommandOptions() {
    server.host = "localhost";
    server.port = 21002;
  }

  template <class V>
  void describe(V& v) {
    v.required("sgl-endpoint", sgl_endpoint, "where the SGLang server is");
    v.field("sgl-api-key", sgl_api_key, "key that is shown to it");
    v.field("worker-address", worker_address,
            "where others reach this worker, which is also its name; default: its own address");
    v.field("worker", worker_address, "the same, as the original's instructions shorten it");
    v.field("controller-address", controller_address,
            "controllers to register with, with commas between; each is told by itself");
    v.field("worker-token", worker_token,
            "secret that controllers and clients have to show, and that is shown to controllers");
    v.field("model-name", model_name,
            "name of the model; default: from the path that the SGLang server names");
    v.field("limit-model-concurrency", limit_model_concurrency,
            "answers asked for at the same time; others wait", in_range(1, 1 << 16));
    v.field("stream-interval", stream_interval, "tokens between two records of a stream",
            in_range(1, 1 << 16));
    v.field("legacy-max-new-tokens", legacy_max_new_tokens, "most tokens of an answer",
            in_range(1, 1 << 20));
    v.field("no-register", no_register, "tell no controller");
    server.describe(v);
    serve::describe_log_dir(v, server);
  }
};

serve::SglangWorkerOptions worker_options_of(const SglangWorkerCommandOptions& options) {
  serve::SglangEndpoint endpoint{.url = options.sgl_endpoint, .api_key = options.sgl_api_key};
  while (endpoint.url.ends_with('/')) endpoint.url.pop_back();
  serve::OutgoingHttp http;
  const serve::SglangModel model = serve::ask_model_info(http, endpoint);
  return {.endpoint = std::move(endpoint),
          .model_name = options.model_name.empty() ? text::model_name_from_path(model.path)
                                                   : options.model_name,
          .is_multimodal = model.sees_images,
          .limit_model_concurrency = options.limit_model_concurrency,
          .max_new_tokens = options.legacy_max_new_tokens,
          .stream_interval = options.stream_interval};
}

}  // namespace

int sglang_worker_command(const Arguments& arguments) {
  SglangWorkerCommandOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  configure_server_log(options.server, options.server.log_dir, "model_worker", true);
  const ServerSignals signals;
  if (!options.worker_token.empty()) options.server.api_key.push_back(options.worker_token);
  const serve::SglangWorkerOptions worker_options = worker_options_of(options);
  auto owned = std::make_unique<serve::SglangWorker>(worker_options);
  const serve::SglangWorker& worker = *owned;
  serve::PlainServer server(options.server, std::move(owned));
  std::optional<serve::WorkerRegistrar> registrar;
  if (!options.no_register) {
    registrar.emplace(
        serve::RegistrationOptions{
            .worker_address =
                options.worker_address.empty() ? server.address() : options.worker_address,
            .controllers = engine::split_list(options.controller_address, ","),
            .token = options.worker_token},
        [&worker] { return worker.report(); });
  }
  run_plain_server(signals, server, registrar ? &*registrar : nullptr, options.server,
                   fmt::format("{} behind {}", worker_options.model_name, options.sgl_endpoint));
  return 0;
}

}  // namespace llava::app
