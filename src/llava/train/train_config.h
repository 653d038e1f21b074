// SPDX-License-Identifier: Apache-2.0
//
// What a training run is asked for: every flag of the original's llava/train/train.py and of the
// library arguments its scripts use, by their names, and ours. Described once for the command line,
// recipes and the run's own record.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "llava/core/config.h"
#include "llava/data/compat.h"

namespace llava::train {

using data::Compat;

/// The language model, tower and projector.
struct ModelArguments {
  std::string model_name_or_path = "facebook/opt-125m";
  std::string version = "v0";
  bool freeze_backbone = false;
  bool freeze_embeddings = false;
  bool tune_mm_mlp_adapter = false;
  std::string vision_tower;
  int32_t mm_vision_select_layer = -1;
  std::string pretrain_mm_mlp_adapter;
  std::string mm_projector_type = "linear";
  bool mm_use_im_start_end = false;
  bool mm_use_im_patch_token = true;
  std::string mm_patch_merge_type = "flat";
  std::string mm_vision_select_feature = "patch";

  template <class V>
  void describe(V& v) {
    v.field("model-name-or-path", model_name_or_path,
            "base language model or LLaVA checkpoint: a folder, org/name of the hub's cache, or a "
            "GGUF file of a language model");
    v.field("version", version, "conversation template: plain for stage 1, v1 for chat, ...");
    v.field("freeze-backbone", freeze_backbone,
            "freeze embeddings, layers and the last norm (not the head)");
    v.field("freeze-embeddings", freeze_embeddings,
            "freeze the embedding table, and the head where it is the same");
    v.field("tune-mm-mlp-adapter", tune_mm_mlp_adapter,
            "stage 1: train the projector alone and save it alone");
    v.field("vision-tower", vision_tower, "CLIP tower (folder or hub name); without it text only");
    v.field("mm-vision-select-layer", mm_vision_select_layer,
            "hidden state of the tower that feeds the projector; the published recipes use -2");
    v.field("pretrain-mm-mlp-adapter", pretrain_mm_mlp_adapter,
            "projector of stage 1 (mm_projector.bin or .safetensors) to start from");
    v.field("mm-projector-type", mm_projector_type, "linear, mlpNx_gelu or identity");
    v.field("mm-use-im-start-end", mm_use_im_start_end,
            "wrap a picture's place in <im_start> and <im_end>");
    v.field("mm-use-im-patch-token", mm_use_im_patch_token,
            "add <im_patch> to the vocabulary, as the first releases did");
    v.field("mm-patch-merge-type", mm_patch_merge_type, "flat, spatial or spatial_unpad");
    v.field("mm-vision-select-feature", mm_vision_select_feature,
            "patch drops the class token, cls_patch keeps it");
  }
};

/// What is trained on.
struct DataArguments {
  std::string data_path;
  std::string image_folder;
  std::string image_aspect_ratio = "square";
  std::string image_grid_pinpoints;
  bool lazy_preprocess = false;
  bool is_multimodal = false;
  bool skip_data_check = false;
  std::string on_bad_sample = "fail";
  std::string feature_cache;
  int64_t feature_cache_gb = 64;

  template <class V>
  void describe(V& v) {
    v.field("data-path", data_path, "training data: a JSON list of dialogues, or JSON lines");
    v.field("image-folder", image_folder, "folder that the pictures' paths start from");
    v.field("image-aspect-ratio", image_aspect_ratio, "pad, square or anyres");
    v.field("image-grid-pinpoints", image_grid_pinpoints,
            "sizes for anyres: pairs of pixels as a Python list, or tiles (1x1),...,(6x6)");
    v.field("lazy-preprocess", lazy_preprocess, "accepted; samples are always made as needed");
    v.field("is-multimodal", is_multimodal, "accepted; true with --vision-tower");
    v.field("skip-data-check", skip_data_check, "start without looking through the data first");
    v.field("on-bad-sample", on_bad_sample,
            "when a sample cannot be made: fail, skip it or substitute the next good one",
            one_of({"fail", "skip", "substitute"}));
    v.field(
        "feature-cache", feature_cache,
        "folder for what a frozen tower makes of pictures: neither it nor the pictures' decoder "
        "runs a second time, in this run or another");
    v.field("feature-cache-gb", feature_cache_gb, "what that folder may hold, in 10^9 bytes",
            at_least(int64_t{1}));
  }
};

/// Adapters and quantised bases.
struct LoraArguments {
  bool lora_enable = false;
  int32_t lora_r = 64;
  double lora_alpha = 16;
  double lora_dropout = 0.05;
  std::string lora_weight_path;
  std::string lora_bias = "none";
  bool lora_use_rslora = false;
  std::string lora_target_modules;
  int32_t bits = 16;
  bool double_quant = true;
  std::string quant_type = "nf4";

  template <class V>
  void describe(V& v) {
    v.field("lora-enable", lora_enable, "train low-rank adapters beside a frozen language model");
    v.field("lora-r", lora_r, "rank of the adapters", at_least(1));
    v.field("lora-alpha", lora_alpha, "their scale is alpha / r");
    v.field("lora-dropout", lora_dropout, "share of an adapter's inputs that is dropped",
            in_range(0.0, 0.999));
    v.field("lora-weight-path", lora_weight_path,
            "folder of adapters to start from (ours or PEFT's) instead of new ones");
    v.field("lora-bias", lora_bias, "biases that train beside adapters",
            one_of({"none", "all", "lora_only"}));
    v.field("lora-use-rslora", lora_use_rslora, "scale adapters by alpha / sqrt(r)");
    v.field("lora-target-modules", lora_target_modules,
            "regular expression of the linear layers that get adapters, instead of all of the "
            "decoder's; mm_projector and vision_tower can be among them");
    v.field("bits", bits,
            "bits of the frozen language model's linear layers beside adapters: 16, 8 or 4");
    v.field("double-quant", double_quant, "with --bits 4, put the scales in codes too");
    v.field("quant-type", quant_type, "codes of --bits 4", one_of({"nf4", "fp4"}));
  }
};

/// The stage before the original's two.
struct ContrastiveArguments {
  std::string stage = "llava";
  std::string contrastive_loss = "siglip";
  bool augment_flip = false;
  int32_t augment_shift = 0;

  bool is_on() const { return stage == "contrastive"; }

  template <class V>
  void describe(V& v) {
    v.field("stage", stage,
            "llava: what the original trains; contrastive: a vision tower alone, by pictures and "
            "captions",
            one_of({"llava", "contrastive"}));
    v.field("contrastive-loss", contrastive_loss,
            "loss of the contrastive stage: clip (softmax) or siglip (sigmoid)",
            one_of({"clip", "siglip"}));
    v.field("augment-flip", augment_flip,
            "contrastive stage: mirror every second picture, another half in each epoch");
    v.field("augment-shift", augment_shift,
            "contrastive stage: move pictures by up to so many pixels", in_range(0, 4096));
  }
};

/// Steps, rates and numbers.
struct OptimizationArguments {
  double num_train_epochs = 3.0;
  int64_t max_steps = -1;
  int32_t per_device_train_batch_size = 8;
  int32_t per_device_eval_batch_size = 8;
  int32_t gradient_accumulation_steps = 1;
  double learning_rate = 5e-5;
  std::optional<double> mm_projector_lr;
  std::optional<double> mm_vision_tower_lr;
  double weight_decay = 0.0;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.999;
  double adam_epsilon = 1e-8;
  double max_grad_norm = 1.0;
  std::string optim = "adamw_torch";
  std::string optim_args;
  double label_smoothing_factor = 0.0;
  std::optional<double> neftune_noise_alpha;
  std::string lr_scheduler_type = "linear";
  double warmup_ratio = 0.0;
  int64_t warmup_steps = 0;
  std::string loss_reduction = "micro_batch";
  std::string on_nonfinite = "stop";
  bool bf16 = false;
  bool fp16 = false;
  std::optional<bool> tf32;
  std::string vision_tower_dtype;
  bool gradient_checkpointing = false;
  int32_t model_max_length = 512;
  bool group_by_modality_length = false;
  bool group_by_length = false;
  bool group_by_picture = false;
  bool share_picture_prefix = true;
  bool freeze_mm_mlp_adapter = false;
  bool tune_vision_tower = false;

  template <class V>
  void describe(V& v) {
    v.field("num-train-epochs", num_train_epochs, "passes over the data; may be a fraction");
    v.field("max-steps", max_steps, "optimiser steps; positive: instead of --num-train-epochs");
    v.field("per-device-train-batch-size", per_device_train_batch_size, "samples of a micro-batch",
            at_least(1));
    v.field("per-device-eval-batch-size", per_device_eval_batch_size,
            "samples of a micro-batch of the evaluation", at_least(1));
    v.field("gradient-accumulation-steps", gradient_accumulation_steps, "micro-batches of a step",
            at_least(1));
    v.field("learning-rate", learning_rate, "rate after the warm-up", at_least(0.0));
    v.field("mm-projector-lr", mm_projector_lr, "another rate for the projector");
    v.field("mm-vision-tower-lr", mm_vision_tower_lr, "another rate for the vision tower");
    v.field("weight-decay", weight_decay, "decay of matrices, decoupled from the gradient",
            at_least(0.0));
    v.field("adam-beta1", adam_beta1, "decay of the first moment", in_range(0.0, 0.999999));
    v.field("adam-beta2", adam_beta2, "decay of the second moment", in_range(0.0, 0.9999999));
    v.field("adam-epsilon", adam_epsilon, "added to the root of the second moment", at_least(0.0));
    v.field("max-grad-norm", max_grad_norm,
            "norm that gradients are clipped to; 0: none, and none with a DeepSpeed file that has "
            "no gradient_clipping, as published",
            at_least(0.0));
    v.field("optim", optim, "optimiser", one_of({"adamw_torch", "adamw_torch_fused", "adamw_hf"}));
    v.field("optim-args", optim_args, "refused: no optimiser here has further arguments");
    v.field("label-smoothing-factor", label_smoothing_factor, "refused unless 0",
            in_range(0.0, 1.0));
    v.field("neftune-noise-alpha", neftune_noise_alpha, "refused: no noise is added here");
    v.field("lr-scheduler-type", lr_scheduler_type, "how the rate changes",
            one_of({"linear", "cosine", "cosine_with_restarts", "polynomial", "constant",
                    "constant_with_warmup", "inverse_sqrt"}));
    v.field("warmup-ratio", warmup_ratio, "share of the steps that warm up", in_range(0.0, 1.0));
    v.field("warmup-steps", warmup_steps, "steps that warm up; positive: instead of the ratio");
    v.field(
        "loss-reduction", loss_reduction,
        "micro_batch: each micro-batch counts the same, as published; token: each trained token "
        "of a step does",
        one_of({"micro_batch", "token"}));
    v.field("on-nonfinite", on_nonfinite,
            "when a loss or gradient is no number: stop before the update and name the samples, or "
            "skip the update (ten in a row stop as well)",
            one_of({"stop", "skip"}));
    v.field("bf16", bf16, "compute in bfloat16 with float32 master weights");
    v.field("fp16", fp16, "compute in float16 with a loss scale");
    v.field("tf32", tf32, "let CUDA's float32 products use TF32");
    v.field("vision-tower-dtype", vision_tower_dtype,
            "compute type of a frozen tower: fp32, fp16 or bf16; empty: the run's",
            one_of({"", "fp32", "fp16", "bf16"}));
    v.field("gradient-checkpointing", gradient_checkpointing,
            "keep the inputs of layers only and compute the rest again: less memory, same results");
    v.field("model-max-length", model_max_length, "most tokens of a sample, pictures included",
            at_least(1));
    v.field("group-by-modality-length", group_by_modality_length,
            "batches of one kind (pictures or text) and similar length, as published");
    v.field("group-by-length", group_by_length, "batches of similar length");
    v.field("group-by-picture", group_by_picture,
            "samples of one picture follow each other, pictures in random order");
    v.field(
        "share-picture-prefix", share_picture_prefix,
        "neighbours in a micro-batch with the same picture and the same text before it and after "
        "share these rows; losses are those of separate samples (off in --compat reference)");
    v.field("freeze-mm-mlp-adapter", freeze_mm_mlp_adapter, "do not train the projector");
    v.field("tune-vision-tower", tune_vision_tower,
            "train the vision tower too (not in the original, whose towers stay frozen)");
  }
};

/// Files, messages and the run as a whole.
struct RunArguments {
  std::string output_dir;
  bool overwrite_output_dir = false;
  std::string compat = "intended";
  uint64_t seed = 42;
  std::optional<uint64_t> data_seed;
  std::string logging_strategy = "steps";
  double logging_steps = 500;
  bool logging_first_step = false;
  bool logging_nan_inf_filter = true;
  std::string save_strategy = "steps";
  double save_steps = 500;
  std::optional<int32_t> save_total_limit;
  bool save_safetensors = true;
  bool save_only_model = false;
  std::string evaluation_strategy = "no";
  double eval_steps = 0;
  std::string eval_data_path;
  int32_t eval_predictions = 8;
  bool load_best_model_at_end = false;
  int32_t early_stopping_patience = 0;
  std::string report_to = "all";
  std::string run_name;
  std::string resume_from_checkpoint;
  bool ignore_data_skip = false;
  bool memory_plan = false;
  std::string deepspeed;
  std::string fsdp;
  std::string fsdp_config;
  std::string fsdp_transformer_layer_cls_to_wrap;
  std::optional<bool> ddp_find_unused_parameters;
  bool full_determinism = false;
  bool torch_compile = false;
  std::string mpt_attn_impl = "triton";
  std::string cache_dir;
  int32_t dataloader_num_workers = 0;
  bool dataloader_pin_memory = true;
  bool dataloader_drop_last = false;
  bool dataloader_persistent_workers = false;
  bool remove_unused_columns = false;
  bool disable_tqdm = false;
  int32_t num_processes = 1;
  std::string grad_reduce_dtype = "model";
  int32_t ddp_timeout = 1800;
  int32_t local_rank = -1;
  std::string device = "cpu";
  int32_t threads = 0;

  template <class V>
  void describe(V& v) {
    v.field("output-dir", output_dir, "folder of the result, its checkpoints and its logs");
    v.field("overwrite-output-dir", overwrite_output_dir,
            "start anew in a folder that has checkpoints, instead of resuming");
    v.field("compat", compat,
            "intended: the original without its mistakes; reference: with them, for comparisons",
            one_of({"intended", "reference"}));
    v.field("seed", seed, "seed of the order of samples, new weights and dropout");
    v.field("data-seed", data_seed, "accepted; without effect, as published");
    v.field("logging-strategy", logging_strategy, "when to report",
            one_of({"no", "steps", "epoch"}));
    v.field("logging-steps", logging_steps, "steps between reports; below 1: share of all steps");
    v.field("logging-first-step", logging_first_step, "report the first step as well");
    v.field("logging-nan-inf-filter", logging_nan_inf_filter,
            "leave losses that are no numbers out of the reported mean");
    v.field("save-strategy", save_strategy, "when to write checkpoints",
            one_of({"no", "steps", "epoch"}));
    v.field("save-steps", save_steps, "steps between checkpoints; below 1: share of all steps");
    v.field("save-total-limit", save_total_limit, "checkpoints to keep; older ones are deleted");
    v.field("save-safetensors", save_safetensors, "write full weights as safetensors, else .bin");
    v.field("save-only-model", save_only_model,
            "checkpoints without what resuming needs (moments, place in the data)");
    v.field("evaluation-strategy", evaluation_strategy, "when to evaluate on --eval-data-path",
            one_of({"no", "steps", "epoch"}));
    v.field("eval-steps", eval_steps, "steps between evaluations; 0: those between reports");
    v.field("eval-data-path", eval_data_path, "held-out data of the same form");
    v.field(
        "eval-predictions", eval_predictions,
        "questions of --eval-data-path, from its first on, that are answered at evaluations and "
        "at the end, for the report",
        at_least(0));
    v.field("load-best-model-at-end", load_best_model_at_end,
            "write the weights of the checkpoint with the least held-out loss as the result");
    v.field("early-stopping-patience", early_stopping_patience,
            "evaluations without a smaller loss after which the run ends; 0: it never does",
            at_least(0));
    v.field("report-to", report_to,
            "tensorboard, json, none or all; wandb stands for all, without the service",
            one_of({"all", "tensorboard", "json", "none", "wandb"}));
    v.field("run-name", run_name, "folder of the run's TensorBoard events below OUTPUT/runs");
    v.field("resume-from-checkpoint", resume_from_checkpoint,
            "checkpoint folder to go on from, instead of the newest in --output-dir");
    v.field("ignore-data-skip", ignore_data_skip,
            "resume at the start of the epoch's data instead of the place in it");
    v.field(
        "memory-plan", memory_plan,
        "print what memory the run would take, part by part, and end before anything is loaded");
    v.field("deepspeed", deepspeed, "DeepSpeed configuration file, as published");
    v.field("fsdp", fsdp, "accepted; every process has the whole model");
    v.field("fsdp-config", fsdp_config, "accepted, as --fsdp");
    v.field("fsdp-transformer-layer-cls-to-wrap", fsdp_transformer_layer_cls_to_wrap,
            "accepted, as --fsdp");
    v.field("ddp-find-unused-parameters", ddp_find_unused_parameters,
            "accepted; parameters without a gradient are found always");
    v.field("full-determinism", full_determinism, "accepted; runs on a CPU always repeat");
    v.field("torch-compile", torch_compile, "refused: there is no Python to compile");
    v.field("mpt-attn-impl", mpt_attn_impl, "accepted; no MPT is trained here");
    v.field("cache-dir", cache_dir, "accepted; models come from the hub's cache (HF_HOME)");
    v.field("dataloader-num-workers", dataloader_num_workers,
            "threads that make samples ahead; 0: they are made when their batch is due",
            in_range(0, 1024));
    v.field("dataloader-pin-memory", dataloader_pin_memory, "accepted; without effect on a CPU");
    v.field("dataloader-drop-last", dataloader_drop_last,
            "leave out the last micro-batches of an epoch that are not full");
    v.field("dataloader-persistent-workers", dataloader_persistent_workers,
            "accepted; the threads always live as long as the run");
    v.field("remove-unused-columns", remove_unused_columns, "accepted; without effect");
    v.field("disable-tqdm", disable_tqdm, "no progress bar");
    v.field(
        "num-processes", num_processes,
        "start so many processes on this machine, each with micro-batches of its own; 0: as many "
        "as make the steps of one sooner, by a short measurement. Without the flag a "
        "launcher's, by RANK and WORLD_SIZE",
        in_range(0, 1024));
    v.field("grad-reduce-dtype", grad_reduce_dtype,
            "type in which processes send each other gradients: the model's, or fp32",
            one_of({"model", "fp32"}));
    v.field("ddp-timeout", ddp_timeout,
            "seconds that a process waits for the others before it gives up", at_least(1));
    v.field("local-rank", local_rank, "set by launchers");
    v.field("device", device, "cpu, cuda, cuda:N or mps");
    v.field("threads", threads, "threads to compute with; 0: one per core, or LLAVA_THREADS",
            in_range(0, 4096));
  }
};

/// A training run. The parts keep the original's three groups apart.
struct TrainConfig {
  ModelArguments model;
  DataArguments data;
  LoraArguments lora;
  ContrastiveArguments contrastive;
  OptimizationArguments optimization;
  RunArguments run;

  template <class V>
  void describe(V& v) {
    model.describe(v);
    data.describe(v);
    lora.describe(v);
    contrastive.describe(v);
    optimization.describe(v);
    run.describe(v);
  }

  bool shares_prefixes() const {
    return optimization.share_picture_prefix && compat() == Compat::kIntended;
  }
  Compat compat() const {
    return run.compat == "reference" ? Compat::kReference : Compat::kIntended;
  }
};

/// Checks what single fields cannot know: flags that contradict each other, paths that are missing.
///
/// Throws: Error(kInvalidArgument) naming the flags and what to do.
void validate(const TrainConfig& config);

}  // namespace llava::train
