// SPDX-License-Identifier: Apache-2.0
//
// `llava data scienceqa`: the original's conversion of ScienceQA.
#include "command.h"
#include "command_line.h"
#include "llava/core/error.h"
#include "llava/data/science_qa.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "data scienceqa",
    .summary = "Turns ScienceQA into training data, as the original's script.",
    .details =
        "The task is convert_to_llava (a training file) or convert_to_jsonl (instruction and\n"
        "output a line). Reads problems.json and pid_splits.json of the folder and writes there.",
    .examples =
        "  llava data scienceqa convert_to_llava --base-dir ScienceQA/data/scienceqa \\\n"
        "      --split train --prompt-format QCM-LEA"};

struct Options {
  std::vector<std::string> tasks;
  std::string base_dir;
  std::string split;
  std::string prompt_format;

  template <class V>
  void describe(V& v) {
    v.positional("task", tasks, "convert_to_llava or convert_to_jsonl");
    v.required("base-dir", base_dir, "folder with problems.json and pid_splits.json");
    v.required("split", split, "a key of pid_splits.json: train, val, minival, test or minitest");
    v.field("prompt-format", prompt_format,
            "what question and answer have; without it QCM-LEA, for JSON lines QCM-LEPA");
  }
};

}  // namespace

int data_scienceqa_command(const Arguments& arguments) {
  Options options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  const std::string task = options.tasks.size() == 1 ? options.tasks.front() : "";
  const bool is_jsonl = task == "convert_to_jsonl";
  if (!is_jsonl && task != "convert_to_llava") {
    fail(ErrorCode::kInvalidArgument,
         "llava data scienceqa: expected one task, convert_to_llava or convert_to_jsonl");
  }
  std::string format = options.prompt_format;
  if (format.empty()) format = is_jsonl ? "QCM-LEPA" : "QCM-LEA";
  const data::ScienceQaRequest request{
      .base_dir = options.base_dir, .split = options.split, .prompt_format = format};
  const data::ConvertedFile file =
      is_jsonl ? data::science_qa_to_jsonl(request) : data::science_qa_to_llava(request);
  fmt::print("Number of samples: {}\n", file.num_samples);
  fmt::print(stderr, "llava: wrote {}\n", file.path.string());
  return 0;
}

}  // namespace llava::app
