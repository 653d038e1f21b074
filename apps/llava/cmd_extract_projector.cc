// SPDX-License-Identifier: Apache-2.0
//
// `llava extract-projector`: a checkpoint's projector as a file of its own.
#include "command.h"
#include "command_line.h"
#include "fetch_model.h"
#include "llava/core/json.h"
#include "llava/engine/conversion/extract_projector.h"

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "extract-projector",
    .summary = "Writes a checkpoint's projector as mm_projector.bin and mm_projector.safetensors.",
    .details =
        "The original's extract_mm_projector: tensors whose names contain mm_projector, as\n"
        "--pretrain_mm_mlp_adapter reads them. Beside the PyTorch file stands the same as\n"
        "safetensors. Of a LoRA folder it is the projector that was trained with the adapter.",
    .examples =
        "  llava extract-projector --model-path llava-v1.5-7b --output mm_projector.bin\n"
        "  llava extract-projector --model_name_or_path my-llava --output projectors/my-llava.bin"};

struct ExtractProjectorOptions {
  engine::ExtractProjectorRequest request;
  bool json = false;

  template <class V>
  void describe(V& v) {
    request.describe(v);
    v.field("json", json, "print one JSON object");
  }
};

}  // namespace

int extract_projector_command(const Arguments& arguments) {
  ExtractProjectorOptions options;
  if (!parse_into(kHelp, options, arguments)) return 0;
  const engine::ExtractProjectorRequest& request = options.request;
  fetch_model(
      {.model_path = request.model_path.empty() ? request.model_name_or_path : request.model_path,
       .needs_tower = false});
  const engine::ExtractProjectorReport report = engine::extract_projector(request);
  if (options.json) {
    OrderedJson json;
    json["files"] = report.files;
    json["tensors"] = report.names;
    fmt::print("{}\n", to_text(json));
    return 0;
  }
  for (const std::string& file : report.files) {
    fmt::print("{}: {} tensors\n", file, report.names.size());
  }
  return 0;
}

}  // namespace llava::app
