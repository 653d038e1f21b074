// SPDX-License-Identifier: Apache-2.0
//
// `llava gradio-web-server`: the web page in front of controllers; the original's web server.
#include <optional>

#include "command.h"
#include "command_line.h"
#include "llava/serve/gateway/page_gateway.h"
#include "plain_server_command.h"
#include "server_log.h"
#include "share_command.h"

namespace llava::app {
namespace {

/// The ports that the original's toolkit tries.
constexpr int32_t kFirstPort = 7860;
constexpr int32_t kLastPort = 7959;

const CommandHelp kHelp{
    .name = "gradio-web-server",
    .summary =
        "A web page, and the API, for all models that controllers know: the original's web "
        "server.",
    .details =
        "Everything that 'llava api' answers, and the page of 'llava serve'. Conversations stay "
        "in\n"
        "browsers; any number of these servers may run beside each other.",
    .examples =
        "  llava gradio-web-server --controller http://localhost:10000 --model-list-mode reload\n"
        "  llava gradio-web-server --controller-url http://localhost:10000 --host 127.0.0.1 \\\n"
        "      --log-dir conversations --moderate --moderation-key-file key.txt"};

struct GradioWebServerOptions {
  serve::ServerOptions server;
  serve::GatewayOptions gateway;
  serve::WebOptions web;
  std::optional<int32_t> port;
  bool share = false;
  std::string share_command;

  GradioWebServerOptions() {
    server.host = "0.0.0.0";
    gateway.concurrency_count = 16;
    // What the original's page sends of a text.
    web.max_text_length = 1536;
    web.max_picture_text_length = 1200;
  }

  template <class V>
  void describe(V& v) {
    v.field("host", server.host, "address to listen on; 0.0.0.0: all");
    v.field("port", port,
            "port to listen on; 0: any free one; default: the first free one from 7860 to 7959",
            in_range(0, 65535));
    v.field("controller-url", gateway.controller_address,
            "controllers to ask, with commas between; the first that answers counts");
    v.field("concurrency-count", gateway.concurrency_count,
            "answers made at the same time through this server; others wait", in_range(1, 1 << 16));
    v.field("share", share,
            "show the page to the world by --share-command; without one, say how and end");
    v.field("share-command", share_command,
            "program that --share starts, words between spaces; {address} and {port} in it are "
            "this server's");
    web.describe(v);
    gateway.moderation.describe(v);
    gateway.describe_workers(v);
    server.describe_limits(v);
    server.rate_limits.describe(v);
  }
};

void check_share(const GradioWebServerOptions& options) {
  if (!options.share || !options.share_command.empty()) return;
  fail(ErrorCode::kInvalidArgument,
       "--share: there is no hosted tunnel. Put a reverse proxy with TLS in front of this server "
       "(docs/operations.md), or name a program that opens a tunnel: --share-command 'ssh -N -R "
       "8080:localhost:{{port}} host.example'");
}

}  // namespace

int gradio_web_server_command(const Arguments& arguments) {
  GradioWebServerOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  check_share(options);
  options.server.port = options.port.value_or(kFirstPort);
  if (!options.port) options.server.last_port = kLastPort;
  configure_server_log(options.server, options.web.log_dir, "gradio_web_server");
  const ServerSignals signals;
  serve::PlainServer server(options.server,
                            std::make_unique<serve::PageGateway>(options.gateway, options.web));
  std::optional<ShareCommand> shared;
  if (options.share) shared.emplace(options.share_command, server.address());
  run_plain_server(signals, server, nullptr, options.server, "the page");
  return 0;
}

}  // namespace llava::app
