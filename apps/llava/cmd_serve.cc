// SPDX-License-Identifier: Apache-2.0
//
// `llava serve`: one model over HTTP, and a page to talk to it.
#include "command.h"
#include "command_line.h"
#include "model_server_command.h"
#include "open_browser.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "serve",
    .summary =
        "Serves a model over HTTP: a web page and OpenAI's API, on this machine only unless told "
        "otherwise.",
    .details =
        "Prints the address when the model answers, and opens it where there is a desktop. SIGTERM "
        "lets\n"
        "running requests end; SIGINT, or a second SIGTERM, stops at once.",
    .examples =
        "  llava serve\n"
        "  llava serve --model-path llava-v1.5-7b --port 8080 --api-key secret\n"
        "  llava serve --log-dir conversations --retention-days 30 --anonymize-ip\n"
        "  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\\n"
        "      -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'"};

struct ServeOptions {
  ModelServerOptions server;
  serve::WebOptions web;
  bool no_web = false;
  bool no_open = false;

  template <class V>
  void describe(V& v) {
    v.field("no-web", no_web, "the API only, without the page");
    v.field("no-open", no_open, "open no browser when the model answers");
    web.describe(v);
    server.describe(v);
  }
};

}  // namespace

int serve_command(const Arguments& arguments) {
  ServeOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  options.server.log_dir = options.web.log_dir;
  if (!options.no_web) {
    options.server.web = options.web;
    options.server.on_ready = [&options](const std::string& address) {
      if (!options.no_open && is_on_desktop()) open_browser(address);
    };
  }
  options.server.command = whole_command(kHelp, arguments);
  return run_model_server(options.server, std::nullopt);
}

}  // namespace llava::app
