// SPDX-License-Identifier: Apache-2.0
//
// `llava api`: the API of all models that controllers know, on one port.
#include "command.h"
#include "command_line.h"
#include "llava/serve/gateway/gateway.h"
#include "plain_server_command.h"
#include "server_log.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "api",
    .summary = "Answers OpenAI's and Ollama's APIs for all models that controllers know.",
    .details =
        "Keeps nothing: any number of them may run beside each other. Workers of the original are\n"
        "asked in its own protocol.",
    .examples =
        "  llava api --controller-address http://localhost:21001\n"
        "  llava api --host 0.0.0.0 --port 8080 --api-key-file keys.txt \\\n"
        "      --controller-address http://a:21001,http://b:21001"};

struct ApiOptions {
  serve::ServerOptions server;
  serve::GatewayOptions gateway;

  ApiOptions() { server.host = "localhost"; }

  template <class V>
  void describe(V& v) {
    gateway.describe(v);
    server.describe(v);
    server.rate_limits.describe(v);
    serve::describe_log_dir(v, server);
  }
};

}  // namespace

int api_command(const Arguments& arguments) {
  ApiOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  configure_server_log(options.server, options.server.log_dir, "api");
  const ServerSignals signals;
  serve::PlainServer server(options.server, std::make_unique<serve::Gateway>(options.gateway));
  run_plain_server(signals, server, nullptr, options.server, "the gateway");
  return 0;
}

}  // namespace llava::app
