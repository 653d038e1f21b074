// SPDX-License-Identifier: Apache-2.0
//
// `llava train`: the original's llava/train/train.py and train_mem.py.
#include <stop_token>

#include "command.h"
#include "command_line.h"
#include "interrupt.h"
#include "llava/core/error.h"
#include "llava/runtime.h"
#include "llava/train/train_config.h"
#include "recipe.h"
#include "torch_program.h"
#ifdef LLAVA_HAS_TRAINING
#include "llava/train/run.h"
#endif

namespace llava::app {
namespace {

const CommandHelp kHelp{
    .name = "train",
    .summary = "Trains a LLaVA: the projector alone (stage 1), the whole model, or adapters.",
    .details =
        "The flags are those of the original's training scripts, with hyphens or underscores; a\n"
        "script runs when 'deepspeed llava/train/train_mem.py' is replaced by 'llava train'. A\n"
        "recipe is the same flags in a file, JSON with comments. A run\n"
        "whose folder has checkpoints goes on from the newest, bit for bit. Ctrl-C writes a\n"
        "checkpoint and ends. 'llava train report FOLDER' makes a page about a run; "
        "docs/training.md\n"
        "explains data, files and rates.",
    .examples =
        "  llava train --model_name_or_path vicuna-7b-v1.5 --version plain \\\n"
        "    --vision_tower clip-vit-large-patch14-336 --mm_projector_type mlp2x_gelu \\\n"
        "    --mm_vision_select_layer -2 --mm_use_im_patch_token False --tune_mm_mlp_adapter True "
        "\\\n"
        "    --data_path captions.json --image_folder images --output_dir stage1\n"
        "  llava train --lora_enable True --model_name_or_path llava-v1.5-7b --version v1 \\\n"
        "    --vision_tower clip-vit-large-patch14-336 --mm_projector_type mlp2x_gelu \\\n"
        "    --mm_vision_select_layer -2 --mm_use_im_patch_token False --image_aspect_ratio pad "
        "\\\n"
        "    --data_path dialogues.json --image_folder images --output_dir lora",
    .switches_take_values = true};

// The recipe is read before the flags are; it is described for the help alone.
struct TrainOptions {
  std::string recipe;
  train::TrainConfig config;

  template <class V>
  void describe(V& v) {
    v.field("recipe", recipe, "file of flags (recipes/train); those given here win");
    config.describe(v);
  }
};

}  // namespace

int train_command(const Arguments& arguments) {
  if (!arguments.empty() && arguments.front() == "report") {
    return train_report_command({arguments.begin() + 1, arguments.end()});
  }
  TrainOptions options;
  if (!parse_into(kHelp, options, with_recipe(arguments))) return 0;
  [[maybe_unused]] const train::TrainConfig& config = options.config;
  require_torch();
#ifdef LLAVA_HAS_TRAINING
  Runtime runtime({.device = config.run.device, .backend = "torch", .threads = config.run.threads});
  Context ctx = runtime.context();
  std::stop_source stop;
  const InterruptGuard guard(stop);
  const bool is_finished = train::run_training(ctx, config, [&] { return stop.stop_requested(); });
  return is_finished ? 0 : kExitInterrupted;
#else
  fail(ErrorCode::kUnavailable,
       "this build has no LibTorch, which training needs: run 'scripts/setup --torch' and build "
       "with the preset release-torch");
#endif
}

}  // namespace llava::app
