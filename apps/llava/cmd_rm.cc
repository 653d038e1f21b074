// SPDX-License-Identifier: Apache-2.0
//
// `llava rm`: removes a model of the hub from this machine.
#include <unistd.h>

#include <iostream>

#include "command.h"
#include "command_line.h"
#include "fetch_model.h"
#include "llava/hub/cached_models.h"
#include "llava/hub/hub_settings.h"
#include "transfer_progress.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "rm",
    .summary = "Removes a model of the hub from this machine, or one of its revisions.",
    .details =
        "What other revisions need as well stays. The cache is shared: other programs lose the "
        "model too.",
    .examples = "  llava rm llava-hf/llava-1.5-7b-hf\n  llava rm org/name@main --yes"};

struct RemoveOptions {
  std::vector<std::string> names;
  bool yes = false;

  template <class V>
  void describe(V& v) {
    v.positional("NAME", names, "org/name or org/name@revision");
    v.field("yes", yes, "do not ask");
  }
};

bool is_confirmed(const std::string& what, uint64_t bytes) {
  if (::isatty(STDIN_FILENO) != 1) {
    fail(ErrorCode::kInvalidArgument,
         "nobody is there to ask whether to remove {} ({}): give --yes", what, size_text(bytes));
  }
  fmt::print(stderr, "remove {} ({})? [y/N] ", what, size_text(bytes));
  std::string line;
  std::getline(std::cin, line);
  return line == "y" || line == "Y" || line == "yes";
}

}  // namespace

int rm_command(const Arguments& arguments) {
  RemoveOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  const auto removal = hub::plan_removal(hub::settings_of_environment().cache,
                                         only_hub_name(options.names, kHelp.name));
  const std::string what = removal.commit.empty()
                               ? fmt::format("all of {}", removal.repo)
                               : fmt::format("{} at {}", removal.repo, removal.commit);
  if (!options.yes && !is_confirmed(what, removal.bytes)) {
    fmt::print(stderr, "llava: nothing is removed\n");
    return 0;
  }
  hub::remove(removal);
  fmt::print("removed {}: {} are free\n", what, size_text(removal.bytes));
  return 0;
}

}  // namespace llava::app
