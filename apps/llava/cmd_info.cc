// SPDX-License-Identifier: Apache-2.0
//
// `llava info`: what this build and this machine are.
#include "command.h"
#include "command_line.h"
#include "llava/core/json.h"
#include "llava/core/thread_pool.h"
#include "llava/core/version.h"
#include "llava/kernels/dispatch.h"
#include "llava/runtime.h"
#include "torch_program.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{.name = "info",
                        .summary = "Prints version, kernels, backends and processor.",
                        .details = {},
                        .examples = "  llava info\n  llava info --json"};

struct InfoOptions {
  bool json = false;

  template <class V>
  void describe(V& v) {
    v.field("json", json, "print one JSON object");
  }
};

OrderedJson facts() {
  OrderedJson info;
  info["version"] = kVersion;
  info["revision"] = kRevision;
  info["compiler"] = kCompiler;
  info["build_type"] = kBuildType;
  info["backends"] = backend_names();
  info["devices"] = device_names();
  OrderedJson names = OrderedJson::array();
  for (const kernels::KernelTable* table : kernels::available()) names.push_back(table->name);
  info["kernels"] = {{"available", names}, {"chosen", kernels::active().name}};
  info["threads"] = ThreadPool().num_threads();
  info["cpu"] = {{"name", kernels::cpu_name()}, {"features", kernels::cpu_features()}};
  const std::string torch = torch_backend_version();
  info["libtorch"] = torch.empty() ? OrderedJson() : OrderedJson(torch);
  return info;
}

}  // namespace

int info_command(const Arguments& arguments) {
  InfoOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  require_torch();
  const OrderedJson info = facts();
  if (options.json) {
    fmt::print("{}\n", to_text(info));
    return 0;
  }
  for (const auto& [key, value] : info.items()) {
    fmt::print("{:<12} {}\n", key, value.is_string() ? value.get<std::string>() : to_text(value));
  }
  return 0;
}

}  // namespace llava::app
