// SPDX-License-Identifier: Apache-2.0
//
// `llava make-delta`: what a model adds to its base.
#include "command.h"
#include "command_line.h"
#include "conversion_report.h"
#include "fetch_model.h"
#include "llava/core/progress.h"
#include "llava/engine/conversion/weight_delta.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "make-delta",
    .summary = "Writes what a model adds to its base, as delta weights to publish.",
    .details =
        "The original's make_delta: target - base in float16, for bases that may not be passed "
        "on.\n"
        "What the base lacks must be the projector's and stays as it is. 'llava apply-delta' "
        "gives\n"
        "the model back. Nothing is uploaded (--hub-repo-id of the original): publish the folder "
        "with\n"
        "the hub's own tools.",
    .examples =
        "  llava make-delta --base-model-path llama-7b --target-model-path llava-7b --delta-path "
        "llava-7b-delta"};

struct MakeDeltaOptions {
  engine::MakeDeltaRequest request;
  bool json = false;

  template <class V>
  void describe(V& v) {
    request.describe(v);
    v.field("json", json, "print one JSON object");
  }
};

}  // namespace

int make_delta_command(const Arguments& arguments) {
  MakeDeltaOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  fetch_model({.model_path = options.request.base_model_path, .needs_tower = false});
  fetch_model({.model_path = options.request.target_model_path, .needs_tower = false});
  engine::ConversionReport report;
  {
    ProgressBar bar("subtracting");
    report = engine::make_delta(options.request,
                                [&](uint64_t done, uint64_t total) { bar.update(done, total); });
  }
  print_conversion(report, options.json);
  return 0;
}

}  // namespace llava::app
