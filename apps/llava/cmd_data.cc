// SPDX-License-Identifier: Apache-2.0
//
// `llava data`: what is done with training data before a training. Each task is a file of its own.
#include <array>
#include <string>
#include <vector>

#include "command.h"
#include "llava/core/config.h"
#include "llava/core/error.h"

namespace llava::app {
namespace {

constexpr std::array kTasks{
    Command{"check", "find what would go wrong with a training file", data_check_command},
    Command{"scienceqa", "turn ScienceQA into training data", data_scienceqa_command},
};

void print_usage() {
  fmt::print(
      "Usage: llava data TASK [FLAGS]    (llava data TASK --help explains the flags)\n\n"
      "Looks after training data.\n\nTasks:\n");
  for (const Command& task : kTasks) fmt::print("  {:<17} {}\n", task.name, task.summary);
  fmt::print(
      "\nFlags:\n  --help            print this and leave\n\n"
      "Examples:\n"
      "  llava data check llava_v1_5_mix665k.json --image-folder playground/data\n");
}

}  // namespace

int data_command(const Arguments& arguments) {
  const std::string name = arguments.empty() ? "" : arguments.front();
  if (name == "--help" || name == "-h") {
    print_usage();
    return 0;
  }
  std::vector<std::string> known;
  for (const Command& task : kTasks) {
    if (name == task.name) return task.run({arguments.begin() + 1, arguments.end()});
    known.emplace_back(task.name);
  }
  const auto nearest = nearest_name(name, known);
  fail(ErrorCode::kInvalidArgument, "llava data: {}{}; llava data --help lists the tasks",
       name.empty() ? "no task given" : "unknown task '" + name + "'",
       nearest ? ", did you mean '" + *nearest + "'?" : "");
}

}  // namespace llava::app
