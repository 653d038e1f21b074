// SPDX-License-Identifier: Apache-2.0
//
// `llava train`: the original's llava/train/train.py and train_mem.py.
#include <algorithm>
#include <cstdlib>
#include <stop_token>
#include <string>

#include "command.h"
#include "command_line.h"
#include "interrupt.h"
#include "llava/core/error.h"
#include "llava/core/thread_pool.h"
#include "llava/runtime.h"
#include "llava/train/train_config.h"
#include "rank_launcher.h"
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

#ifdef LLAVA_HAS_TRAINING
// Each rank has a graphics processor of its own.
std::string device_of(const train::RunArguments& run) {
  const char* local_rank = std::getenv("LOCAL_RANK");
  if (run.device != "cuda" || !is_rank() || local_rank == nullptr) return run.device;
  return fmt::format("cuda:{}", local_rank);
}

// Threads of all ranks of this machine together, or of the one process.
int32_t threads_of_machine(const train::RunArguments& run) {
  return ThreadPool(run.threads).num_threads();
}

// Ranks of one machine share its cores; --threads is what each has, but where their number is
// chosen.
int32_t threads_of_rank(const train::RunArguments& run) {
  const char* text = std::getenv("LOCAL_WORLD_SIZE");
  const int32_t num_ranks = text == nullptr ? 1 : std::max(1, std::atoi(text));
  if (run.threads > 0 && run.num_processes > 0) return run.threads;
  return std::max(1, threads_of_machine(run) / num_ranks);
}

// Processes that --num-processes 0 tries against one: as many as there are threads, if the
// micro-batches of a step can be dealt out evenly.
int32_t num_processes_to_try(const train::TrainConfig& config) {
  const int32_t accumulation = config.optimization.gradient_accumulation_steps;
  if (config.run.device != "cpu") return 1;
  int32_t count = std::min(accumulation, threads_of_machine(config.run));
  while (accumulation % count != 0) --count;
  return count;
}

int run_as_rank(const train::TrainConfig& config) {
  std::stop_source stop;
  const InterruptGuard guard(stop);
  train::RunOptions options{.stop_requested = [&] { return stop.stop_requested(); },
                            .num_threads_alone = threads_of_machine(config.run)};
  const auto run = [&](int32_t num_threads, const train::TrainConfig& what) {
    Runtime runtime({.device = device_of(config.run), .backend = "torch", .threads = num_threads});
    Context ctx = runtime.context();
    return train::run_training(ctx, what, options);
  };
  train::RunEnd end = run(threads_of_rank(config.run), config);
  if (end == train::RunEnd::kBetterAlone) {
    if (!is_first_rank()) return 0;
    options.is_alone = true;
    train::TrainConfig alone = config;
    alone.data.skip_data_check = true;  // it has been
    end = run(threads_of_machine(config.run), alone);
  }
  return end == train::RunEnd::kFinished ? 0 : kExitInterrupted;
}
#endif

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
  if (is_rank()) return run_as_rank(config);
  train::validate(config);
  const int32_t num_ranks =
      config.run.num_processes > 0 ? config.run.num_processes : num_processes_to_try(config);
  if (num_ranks == 1) return run_as_rank(config);
  return run_ranks(num_ranks, whole_command(kHelp, arguments));
#else
  fail(ErrorCode::kUnavailable,
       "this build has no LibTorch, which training needs: run 'scripts/setup --torch' and build "
       "with the preset release-torch");
#endif
}

}  // namespace llava::app
