// SPDX-License-Identifier: Apache-2.0
//
// `llava data check`: the traps of a training file, before a run falls into them.
#include <cstdint>
#include <limits>
#include <optional>

#include "command.h"
#include "command_line.h"
#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"
#include "llava/core/progress.h"
#include "llava/core/thread_pool.h"
#include "llava/data/check_report.h"
#include "llava/data/dataset_check.h"
#include "training_data.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "data check",
    .summary = "Finds what would go wrong with a training file.",
    .details =
        "Reads every sample and looks at every picture: missing and damaged pictures, "
        "placeholders\n"
        "that do not match them, turns out of order, duplicates; with --model-name-or-path also\n"
        "samples that the length limit cuts and those that train nothing. Exit status 5 when "
        "there\n"
        "is an error among them.",
    .examples =
        "  llava data check mix.json --image-folder pictures\n"
        "  llava data check mix.json --image-folder pictures --model-name-or-path vicuna-7b-v1.5 "
        "\\\n"
        "      --vision-tower openai/clip-vit-large-patch14-336 --version v1 \\\n"
        "      --model-max-length 2048 --histogram lengths.svg"};

struct Options {
  std::vector<std::string> files;
  TrainingDataOptions data;
  std::string pictures = "decode";
  bool all = false;
  bool json = false;
  std::string histogram;
  int32_t threads = 0;

  template <class V>
  void describe(V& v) {
    v.positional("file", files, "the training file: a JSON array or JSON lines");
    data.describe(v);
    v.field("pictures", pictures, "how closely to look at pictures: decode, header or none",
            one_of({"decode", "header", "none"}));
    v.field("all", all, "list every sample in a trap, not the first 20 of each");
    v.field("json", json, "print one JSON object");
    v.field("histogram", histogram,
            "write the lengths of the samples to this file as a picture (SVG)");
    v.field("threads", threads, "threads to check with; 0: one per core, or LLAVA_THREADS",
            at_least(0));
  }
};

data::PictureDepth depth_of(const std::string& name) {
  if (name == "none") return data::PictureDepth::kNone;
  return name == "header" ? data::PictureDepth::kHeader : data::PictureDepth::kDecode;
}

}  // namespace

int data_check_command(const Arguments& arguments) {
  Options options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  if (options.files.size() != 1) {
    fail(ErrorCode::kInvalidArgument,
         "llava data check: {} files given, expected one; --help shows examples",
         options.files.size());
  }
  const TrainingData training = open_training_data(options.data);
  const data::ConversationFile file = data::ConversationFile::open(options.files.front());
  std::optional<data::SampleMaker> maker;
  if (training.tokenizer) maker.emplace(*training.tokenizer, training.rules);

  ProgressBar bar("samples");
  ThreadPool pool(options.threads);
  data::CheckOptions check{.maker = maker ? &*maker : nullptr,
                           .dialogue = training.rules.dialogue,
                           .pictures = training.rules.pictures,
                           .depth = depth_of(options.pictures)};
  if (options.all) check.most_findings = std::numeric_limits<int64_t>::max();
  check.progress = [&bar](uint64_t done, uint64_t total) { bar.update(done, total); };
  const data::DataReport report = data::check_dataset(file, check, pool);
  bar.clear();
  if (!options.histogram.empty()) {
    write_file_atomically(options.histogram, data::check_report_svg(report));
  }
  fmt::print("{}", options.json ? to_text(data::check_report_json(report), 2) + "\n"
                                : data::check_report_text(report));
  return report.passes() ? 0 : kExitCheckFailed;
}

}  // namespace llava::app
