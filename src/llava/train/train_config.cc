// SPDX-License-Identifier: Apache-2.0
#include "llava/train/train_config.h"

#include <string_view>

namespace llava::train {
namespace {

[[noreturn]] void refuse(std::string_view what) { fail(ErrorCode::kInvalidArgument, "{}", what); }

}  // namespace

void validate(const TrainConfig& config) {
  const OptimizationArguments& o = config.optimization;
  if (config.run.output_dir.empty())
    refuse("--output-dir is missing: name the folder of the result");
  if (config.data.data_path.empty()) refuse("--data-path is missing: name the training data");
  if (o.bf16 && o.fp16) refuse("--bf16 and --fp16 exclude each other: give one of them");
  if (int{o.group_by_length} + int{o.group_by_modality_length} + int{o.group_by_picture} > 1) {
    refuse(
        "--group-by-length, --group-by-modality-length and --group-by-picture exclude each other: "
        "give one of them");
  }
  if (config.model.tune_mm_mlp_adapter && config.model.vision_tower.empty()) {
    refuse("--tune-mm-mlp-adapter trains the projector of a vision tower: give --vision-tower");
  }
  if (config.model.tune_mm_mlp_adapter && config.lora.lora_enable) {
    refuse(
        "--tune-mm-mlp-adapter trains the projector alone and --lora-enable adapters of the "
        "language model: give one of them");
  }
  if (config.model.tune_mm_mlp_adapter && o.freeze_mm_mlp_adapter) {
    refuse(
        "--tune-mm-mlp-adapter and --freeze-mm-mlp-adapter leave nothing to train: give one of "
        "them");
  }
  if (!config.lora.lora_weight_path.empty() && !config.lora.lora_enable) {
    refuse("--lora-weight-path needs --lora-enable");
  }
  if (!config.model.pretrain_mm_mlp_adapter.empty() && config.model.vision_tower.empty()) {
    refuse("--pretrain-mm-mlp-adapter belongs to a vision tower: give --vision-tower");
  }
  if (!config.data.feature_cache.empty() && o.tune_vision_tower) {
    refuse(
        "--feature-cache keeps what a frozen tower makes of pictures, and --tune-vision-tower "
        "trains "
        "it: give one of them");
  }
  const RunArguments& run = config.run;
  if (run.early_stopping_patience > 0 && run.evaluation_strategy == "no") {
    refuse("--early-stopping-patience needs evaluations: give --evaluation-strategy");
  }
  if (run.load_best_model_at_end &&
      (run.evaluation_strategy == "no" || run.evaluation_strategy != run.save_strategy ||
       run.save_only_model)) {
    refuse(
        "--load-best-model-at-end needs a whole checkpoint at every evaluation: give the same "
        "--evaluation-strategy and --save-strategy, and no --save-only-model");
  }
  if (config.run.evaluation_strategy != "no" && config.run.eval_data_path.empty()) {
    refuse("--evaluation-strategy needs held-out data: give --eval-data-path");
  }
}

}  // namespace llava::train
