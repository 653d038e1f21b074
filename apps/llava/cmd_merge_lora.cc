// SPDX-License-Identifier: Apache-2.0
//
// `llava merge-lora`: an adapter and its base as one checkpoint.
#include "command.h"
#include "command_line.h"
#include "fetch_model.h"
#include "llava/core/json.h"
#include "llava/core/progress.h"
#include "llava/engine/conversion/merge_lora.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "merge-lora",
    .summary = "Writes a LoRA or projector-only folder and its base as one checkpoint.",
    .details =
        "The original's merge_lora_weights. The folder is complete: configuration, weights in\n"
        "files of at most 5 GB, tokenizer. An adapter of 'llava train' has a hash of the base it\n"
        "was trained on, which is compared first. For a model that is to be quantised anyway,\n"
        "'llava quantize' merges as well.",
    .examples =
        "  llava merge-lora --model-path llava-v1.5-7b-lora --model-base vicuna-7b-v1.5 "
        "--save-model-path llava-v1.5-7b-merged\n"
        "  llava merge-lora --model-path my-llava-lora --model-base llava-v1.5-7b "
        "--save-model-path my-llava --compat reference"};

struct MergeLoraOptions {
  engine::MergeLoraRequest request;
  int32_t threads = 0;
  bool json = false;

  template <class V>
  void describe(V& v) {
    request.describe(v);
    v.field("threads", threads, "threads to merge with; 0: one per core, or LLAVA_THREADS",
            in_range(0, 4096));
    v.field("json", json, "print one JSON object");
  }
};

void print(const engine::MergeLoraReport& report, bool as_json) {
  constexpr double kMiB = 1024.0 * 1024.0;
  if (!as_json) {
    fmt::print("{}: {} tensors, {:.1f} MiB, {} of them merged, in {:.1f} s{}\n", report.output,
               report.num_tensors, static_cast<double>(report.bytes) / kMiB, report.num_merged,
               report.seconds, report.is_base_checked ? "; the base is the adapter's" : "");
    return;
  }
  OrderedJson json;
  json["output"] = report.output;
  json["tensors"] = report.num_tensors;
  json["merged"] = report.num_merged;
  json["bytes"] = report.bytes;
  json["base_checked"] = report.is_base_checked;
  json["seconds"] = report.seconds;
  fmt::print("{}\n", to_text(json));
}

}  // namespace

int merge_lora_command(const Arguments& arguments) {
  MergeLoraOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  fetch_model({.model_path = options.request.model_path,
               .model_base = options.request.model_base,
               .needs_tower =
                   options.request.vision_tower.empty() && options.request.compat == "reference"});
  ThreadPool pool(options.threads);
  engine::MergeLoraReport report;
  {
    ProgressBar bar("merging");
    report = engine::merge_lora(pool, options.request,
                                [&](uint64_t done, uint64_t total) { bar.update(done, total); });
  }
  print(report, options.json);
  return 0;
}

}  // namespace llava::app
