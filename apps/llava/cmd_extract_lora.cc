// SPDX-License-Identifier: Apache-2.0
//
// `llava extract-lora`: what training changed of a language model, as adapters of its base.
#include "command.h"
#include "command_line.h"
#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/core/progress.h"
#include "llava/train/extract_lora.h"
#include "torch_program.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "extract-lora",
    .summary = "Writes what full training changed of a language model as low-rank adapters.",
    .details =
        "The reverse of merge-lora: the difference of every linear layer to the base, cut to a\n"
        "rank by its singular values. Projector and norms, where they differ, are kept whole. The\n"
        "folder is one of 'llava train --lora_enable'; needs LibTorch.",
    .examples =
        "  llava extract-lora --model-path stage2 --model-base SmolLM2-135M-Instruct.Q4_1.gguf \\\n"
        "    --lora-r 16 --include-vision-tower --save-model-path my-llava-lora"};

struct ExtractLoraOptions {
  train::ExtractLoraRequest request;
  bool json = false;

  template <class V>
  void describe(V& v) {
    request.describe(v);
    v.field("json", json, "print one JSON object");
  }
};

}  // namespace

int extract_lora_command(const Arguments& arguments) {
  ExtractLoraOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  require_torch();
#ifdef LLAVA_HAS_TRAINING
  ProgressBar bar("decomposing");
  const train::ExtractLoraReport report = train::extract_lora(
      options.request, [&](uint64_t done, uint64_t total) { bar.update(done, total); });
  bar.clear();
  if (options.json) {
    OrderedJson json;
    json["output"] = report.output;
    json["adapters"] = report.num_adapters;
    json["others"] = report.num_others;
    json["bytes"] = report.bytes;
    json["mean_kept"] = report.mean_kept;
    json["least_kept"] = report.least_kept;
    fmt::print("{}\n", to_text(json));
    return 0;
  }
  fmt::print(
      "{}: {} adapters of rank {}, {} other tensors, {:.1f} MB; {:.1f} % of the change kept, "
      "{:.1f} "
      "% at least\n",
      report.output, report.num_adapters, options.request.lora_r, report.num_others,
      static_cast<double>(report.bytes) / 1e6, 100 * report.mean_kept, 100 * report.least_kept);
  return 0;
#else
  fail(ErrorCode::kUnavailable,
       "this build has no LibTorch, which the decomposition needs: run 'scripts/setup --torch' and "
       "build with the preset release-torch");
#endif
}

}  // namespace llava::app
