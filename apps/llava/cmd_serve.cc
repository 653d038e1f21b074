// SPDX-License-Identifier: Apache-2.0
//
// `llava serve`: one model over HTTP.
#include "command.h"
#include "command_line.h"
#include "model_server_command.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "serve",
    .summary =
        "Serves a model over HTTP: OpenAI's API, on this machine only unless told otherwise.",
    .details =
        "Prints the address when the model answers. SIGTERM lets running requests end; SIGINT, or "
        "a\n"
        "second SIGTERM, stops at once.",
    .examples =
        "  llava serve\n"
        "  llava serve --model-path llava-v1.5-7b --port 8080 --api-key secret\n"
        "  curl http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\\n"
        "      -d '{\"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'"};

}  // namespace

int serve_command(const Arguments& arguments) {
  ModelServerOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  return run_model_server(options, std::nullopt);
}

}  // namespace llava::app
