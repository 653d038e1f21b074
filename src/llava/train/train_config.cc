// SPDX-License-Identifier: Apache-2.0
#include "llava/train/train_config.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace llava::train {
namespace {

[[noreturn]] void refuse(std::string_view what) { fail(ErrorCode::kInvalidArgument, "{}", what); }

// Flags of the original's stages that mean nothing to a contrastive one.
void validate_contrastive(const TrainConfig& config) {
  const OptimizationArguments& o = config.optimization;
  if (config.model.vision_tower.empty()) {
    refuse(
        "--stage contrastive trains a vision tower: give --vision-tower a folder with its "
        "config.json and preprocessor_config.json, with weights or without");
  }
  if (o.gradient_accumulation_steps > 1) {
    refuse(
        "--stage contrastive compares all pairs of a batch, which --gradient-accumulation-steps "
        "would tear apart: raise --per-device-train-batch-size instead");
  }
  const std::pair<bool, const char*> others[] = {
      {config.model.tune_mm_mlp_adapter, "--tune-mm-mlp-adapter"},
      {config.model.freeze_backbone, "--freeze-backbone"},
      {!config.model.pretrain_mm_mlp_adapter.empty(), "--pretrain-mm-mlp-adapter"},
      {config.lora.lora_enable, "--lora-enable"},
      {!config.data.feature_cache.empty(), "--feature-cache"},
      {config.data.on_bad_sample != "fail", "--on-bad-sample"},
      {config.data.image_aspect_ratio == "anyres", "--image-aspect-ratio anyres"},
      {o.mm_projector_lr.has_value(), "--mm-projector-lr"},
      {o.mm_vision_tower_lr.has_value(), "--mm-vision-tower-lr (it is --learning-rate)"},
      {o.fp16, "--fp16"},
      {!o.vision_tower_dtype.empty(), "--vision-tower-dtype"},
      {o.gradient_checkpointing, "--gradient-checkpointing"},
      {o.group_by_length, "--group-by-length"},
      {o.group_by_modality_length, "--group-by-modality-length"},
      {o.loss_reduction != "micro_batch", "--loss-reduction"},
      {o.on_nonfinite != "stop", "--on-nonfinite"},
      {o.freeze_mm_mlp_adapter, "--freeze-mm-mlp-adapter"},
      {o.tune_vision_tower, "--tune-vision-tower (it always is)"},
      {!config.run.deepspeed.empty(), "--deepspeed"},
      {config.compat() == Compat::kReference, "--compat reference"}};
  for (const auto& [is_given, flag] : others) {
    if (!is_given) continue;
    refuse(fmt::format("--stage contrastive has no {}: leave it out", flag));
  }
}

}  // namespace

void validate(const TrainConfig& config) {
  const OptimizationArguments& o = config.optimization;
  if (config.run.output_dir.empty())
    refuse("--output-dir is missing: name the folder of the result");
  if (config.data.data_path.empty()) refuse("--data-path is missing: name the training data");
  if (config.contrastive.is_on()) {
    validate_contrastive(config);
  } else if (config.contrastive.augment_flip || config.contrastive.augment_shift > 0) {
    refuse("--augment-flip and --augment-shift belong to --stage contrastive: leave them out");
  }
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
  const LoraArguments& lora = config.lora;
  if (lora.bits != 16 && lora.bits != 8 && lora.bits != 4) {
    fail(ErrorCode::kInvalidArgument, "--bits {} is none of 16, 8 and 4", lora.bits);
  }
  if (lora.bits != 16 && !lora.lora_enable) {
    fail(ErrorCode::kInvalidArgument,
         "--bits {} freezes the language model in codes, beside which only adapters can train: "
         "give --lora-enable, or leave --bits out",
         lora.bits);
  }
  if (!o.optim_args.empty()) refuse("--optim-args is not supported: leave it out");
  if (o.label_smoothing_factor != 0) {
    refuse("--label-smoothing-factor is not supported: leave it out, or give 0");
  }
  if (o.neftune_noise_alpha) refuse("--neftune-noise-alpha is not supported: leave it out");
  if (config.run.torch_compile) {
    refuse("--torch-compile is not supported, there is no Python to compile: leave it out");
  }
  if (!config.run.fsdp.empty() && !config.run.deepspeed.empty()) {
    refuse("--fsdp and --deepspeed exclude each other: give one of them");
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
