// SPDX-License-Identifier: Apache-2.0
//
// `llava apply-delta`: a model from its base and published delta weights.
#include "command.h"
#include "command_line.h"
#include "conversion_report.h"
#include "fetch_model.h"
#include "llava/core/progress.h"
#include "llava/engine/conversion/weight_delta.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "apply-delta",
    .summary = "Writes the model that delta weights and their base make.",
    .details =
        "The original's apply_delta: base + delta in float16, with the delta's configuration and\n"
        "tokenizer. What the base lacks must be the projector's and is taken from the delta.",
    .examples =
        "  llava apply-delta --base-model-path llama-7b --target-model-path llava-7b --delta-path "
        "liuhaotian/LLaVA-7b-delta-v1-1"};

struct ApplyDeltaOptions {
  engine::ApplyDeltaRequest request;
  bool json = false;

  template <class V>
  void describe(V& v) {
    request.describe(v);
    v.field("json", json, "print one JSON object");
  }
};

}  // namespace

int apply_delta_command(const Arguments& arguments) {
  ApplyDeltaOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  fetch_model({.model_path = options.request.base_model_path, .needs_tower = false});
  fetch_model({.model_path = options.request.delta_path, .needs_tower = false});
  engine::ConversionReport report;
  {
    ProgressBar bar("adding");
    report = engine::apply_delta(options.request,
                                 [&](uint64_t done, uint64_t total) { bar.update(done, total); });
  }
  print_conversion(report, options.json);
  return 0;
}

}  // namespace llava::app
