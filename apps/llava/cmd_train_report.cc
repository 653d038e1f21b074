// SPDX-License-Identifier: Apache-2.0
//
// `llava train report`: a page about a training run, from the files of its folder.
#include <filesystem>
#include <optional>

#include "command.h"
#include "command_line.h"
#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/core/log.h"
#include "llava/train/train_config.h"
#include "llava/train_report/page.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "train report",
    .summary = "Writes a page about a training run: curves, answers, data, configuration.",
    .details =
        "Reads the folder that --output_dir named; the run may be going on, or have been killed.\n"
        "The page is one HTML file that needs nothing else and asks no server for anything.\n"
        "Pictures of predictions.jsonl are inside it, scaled down.",
    .examples =
        "  llava train report checkpoints/llava-v1.5-7b-lora\n"
        "  llava data check mix.json --image-folder pictures --json > check.json\n"
        "  llava train report stage1 --data-check check.json --output stage1.html"};

struct Options {
  std::vector<std::string> runs;
  std::string output;
  std::string data_check;
  int32_t max_samples = 50;

  template <class V>
  void describe(V& v) {
    v.positional("run", runs, "folder of the run");
    v.field("output", output, "file to write; without it report.html in the run's folder");
    v.field("data-check", data_check,
            "output of 'llava data check --json' about the data; without it the run's own");
    v.field("max-samples", max_samples, "most sample predictions to show", at_least(0));
  }
};

// The flags of `llava train` with their defaults, as training_args.json has them.
struct FlagVisitor {
  std::vector<train_report::KnownFlag>& flags;

  template <class T>
  void field(const std::string& name, const T& value, const std::string&,
             const Constraint<T>& = {}) {
    flags.push_back({name, Json(value)});
  }
  template <class T>
  void field(const std::string& name, const std::optional<T>& value, const std::string&,
             const Constraint<T>& = {}) {
    flags.push_back({name, value ? Json(*value) : Json()});
  }
};

std::vector<train_report::KnownFlag> train_flags() {
  std::vector<train_report::KnownFlag> flags;
  FlagVisitor visitor{flags};
  train::TrainConfig().describe(visitor);
  return flags;
}

}  // namespace

int train_report_command(const Arguments& arguments) {
  Options options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  if (options.runs.size() != 1) {
    fail(ErrorCode::kInvalidArgument,
         "llava train report: {} folders given, expected one; --help shows examples",
         options.runs.size());
  }
  const std::filesystem::path folder = options.runs.front();
  const train_report::RunFolder run = train_report::read_run_folder(folder, options.data_check);
  for (const std::string& problem : run.problems) log_warning("report", {{"problem", problem}});
  const std::filesystem::path output =
      options.output.empty() ? folder / "report.html" : std::filesystem::path(options.output);
  write_file_atomically(
      output,
      train_report::make_page(run, {.flags = train_flags(),
                                    .max_samples = static_cast<std::size_t>(options.max_samples)}));
  fmt::print(stderr, "llava: wrote {}\n", output.string());
  return 0;
}

}  // namespace llava::app
