// SPDX-License-Identifier: Apache-2.0
//
// `llava consolidate`: a checkpoint written again, whole and in one type.
#include "command.h"
#include "command_line.h"
#include "conversion_report.h"
#include "fetch_model.h"
#include "llava/core/progress.h"
#include "llava/engine/conversion/consolidate.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "consolidate",
    .summary = "Writes a checkpoint again as safetensors, whole and in one type.",
    .details =
        "The original's consolidate: weights in float16, without the vision tower that loading "
        "takes\n"
        "from its own folder; configuration, tokenizer and the rest as they are. Any container "
        "goes\n"
        "in: safetensors, PyTorch files, shards of either. A configuration of the first year is\n"
        "upgraded in the copy, without asking: the source stays as it is.",
    .examples =
        "  llava consolidate --src llava-7b --dst llava-7b-consolidated\n"
        "  llava consolidate --src my-llava --dst my-llava-bf16 --dtype bfloat16"};

struct ConsolidateOptions {
  engine::ConsolidateRequest request;
  bool json = false;

  template <class V>
  void describe(V& v) {
    request.describe(v);
    v.field("json", json, "print one JSON object");
  }
};

}  // namespace

int consolidate_command(const Arguments& arguments) {
  ConsolidateOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  fetch_model({.model_path = options.request.src, .needs_tower = false});
  engine::ConversionReport report;
  {
    ProgressBar bar("writing");
    report = engine::consolidate(options.request,
                                 [&](uint64_t done, uint64_t total) { bar.update(done, total); });
  }
  print_conversion(report, options.json);
  return 0;
}

}  // namespace llava::app
