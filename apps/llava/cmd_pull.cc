// SPDX-License-Identifier: Apache-2.0
//
// `llava pull`: a model of the hub, by name.
#include "command.h"
#include "command_line.h"
#include "fetch_model.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "pull",
    .summary = "Fetches a model of the hub, with the vision tower and the base that it names.",
    .details =
        "NAME is org/name, or org/name@revision with a branch, tag or commit. Models lie in the "
        "cache\n"
        "that huggingface_hub and transformers use; the folder is printed at the end. What an "
        "earlier\n"
        "attempt has brought is not fetched again, and every file is compared with its hash.",
    .examples =
        "  llava pull llava-hf/llava-1.5-7b-hf\n"
        "  llava run --model-path llava-hf/llava-1.5-7b-hf --image-file a.jpg --query \"What is "
        "this?\"\n"
        "  llava pull org/name-gguf --include '*Q4_K_M.gguf'"};

struct PullOptions {
  std::vector<std::string> names;
  hub::FilePatterns patterns;
  bool offline = false;
  std::string endpoint;
  std::string token_file;
  int32_t max_connections = 8;

  template <class V>
  void describe(V& v) {
    v.positional("NAME", names, "org/name or org/name@revision");
    v.field("include", patterns.include,
            "fetch the files of this pattern instead of what the checkpoint needs (may be given "
            "several times); * matches / too");
    v.field("exclude", patterns.exclude,
            "leave out the files of this pattern (may be given several times)");
    v.field("offline", offline, "ask nobody: print where the model lies in the cache");
    v.field("endpoint", endpoint, "address of the hub or of a mirror, instead of HF_ENDPOINT's");
    v.field("token-file", token_file,
            "file with the token of an account, instead of HF_TOKEN and the file in HF_HOME");
    v.field("max-connections", max_connections,
            "files and parts of files that are fetched at the same time", in_range(1, 64));
  }
};

}  // namespace

int pull_command(const Arguments& arguments) {
  PullOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  const auto name = only_hub_name(options.names, kHelp.name);
  hub::HubSettings settings = hub::settings_of_environment();
  settings.is_offline = settings.is_offline || options.offline;
  settings.max_connections = options.max_connections;
  if (!options.endpoint.empty()) {
    settings.endpoint = hub::checked_endpoint(options.endpoint, "--endpoint");
  }
  if (!options.token_file.empty()) settings.token = hub::read_token_file(options.token_file);
  const auto folder = pull_model(settings, {.name = name, .patterns = options.patterns});
  fmt::print("{}\n", folder.string());
  return 0;
}

}  // namespace llava::app
