// SPDX-License-Identifier: Apache-2.0
//
// `llava inspect`: what a checkpoint is and what it needs.
#include "command.h"
#include "command_line.h"
#include "fetch_model.h"
#include "llava/core/json.h"
#include "llava/core/progress.h"
#include "llava/engine/inspection.h"
#include "llava/engine/quantize/quantize.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "inspect",
    .summary = "Says what a checkpoint is: architecture, tensors, memory, and what is missing.",
    .details =
        "Nothing is loaded. What keeps the checkpoint from being used is listed as problems.\n"
        "Exit status 5: --verify found damaged tensors.",
    .examples =
        "  llava inspect --model-path llava-v1.5-7b\n"
        "  llava inspect --model-path my-lora --model-base vicuna-7b-v1.5 --json"};

struct InspectOptions {
  engine::LoadRequest load;
  bool tensors = false;
  bool verify = false;
  bool json = false;

  template <class V>
  void describe(V& v) {
    load.describe(v);
    v.field("tensors", tensors, "list every tensor");
    v.field("verify", verify, "read all of a packed store and compare its checksums");
    v.field("json", json, "print one JSON object");
  }
};

constexpr double kMiB = 1024.0 * 1024.0;

void print_members(const OrderedJson& object, std::string_view unit = {}) {
  for (const auto& [key, value] : object.items()) {
    if (value.is_null()) continue;
    fmt::print("  {:<24} {}{}\n", key,
               value.is_string() ? value.get<std::string>() : to_text(value),
               value.is_number() ? unit : "");
  }
}

void print_text(const OrderedJson& facts, bool lists_tensors) {
  for (const auto& [key, value] : facts.items()) {
    if (value.is_string()) fmt::print("{}: {}\n", key, value.get<std::string>());
  }
  for (const char* section : {"decoder", "vision", "projector", "memory"}) {
    if (!facts.contains(section) || !facts[section].is_object()) continue;
    fmt::print("{}:\n", section);
    print_members(facts[section], section == std::string_view("memory") ? " bytes" : "");
  }
  if (facts.contains("tensors")) {
    fmt::print("tensors: {} in {:.1f} MiB\n", facts["tensors"].size(),
               facts["bytes"].get<double>() / kMiB);
    if (lists_tensors) {
      for (const auto& tensor : facts["tensors"]) {
        fmt::print("  {} {} {}\n", tensor["name"].get<std::string>(), to_text(tensor["shape"]),
                   tensor["dtype"].get<std::string>());
      }
    }
  }
  if (facts["problems"].empty()) fmt::print("problems: none\n");
  for (const auto& problem : facts["problems"]) {
    fmt::print("problem: {}\n", problem.get<std::string>());
  }
}

std::vector<std::string> verify(const std::string& model_path) {
  ThreadPool pool;
  ProgressBar bar("verifying");
  return engine::verify_packed_store(
      pool, model_path, [&](uint64_t done, uint64_t total) { bar.update(done, total); });
}

}  // namespace

int inspect_command(const Arguments& arguments) {
  InspectOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  fetch_model({.model_path = options.load.model_path,
               .model_base = options.load.model_base,
               .needs_tower = options.load.vision_tower.empty()});
  OrderedJson facts = engine::inspect_checkpoint(options.load);
  std::vector<std::string> damages;
  if (options.verify) {
    damages = verify(options.load.model_path);
    for (const std::string& damage : damages) facts["problems"].push_back(damage);
  }
  if (options.json) {
    fmt::print("{}\n", to_text(facts));
  } else {
    print_text(facts, options.tensors);
  }
  return damages.empty() ? 0 : kExitCheckFailed;
}

}  // namespace llava::app
