// SPDX-License-Identifier: Apache-2.0
#include "llava/train/run.h"

#include <ATen/Context.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>

#include "llava/backend/torch/torch_backend.h"
#include "llava/checkpoint/weights_hash.h"
#include "llava/core/hash.h"
#include "llava/core/log.h"
#include "llava/data/training_inputs.h"
#include "llava/train/check_data.h"
#include "llava/train/contrastive_run.h"
#include "llava/train/dataset_batches.h"
#include "llava/train/run_summary.h"
#include "llava/train/trainer.h"

namespace llava::train {
namespace {

namespace fs = std::filesystem;

data::SampleRules sample_rules(const TrainConfig& config, const BasePlace& place,
                               const text::Tokenizer& tokenizer) {
  data::SampleRules rules =
      data::open_sample_rules({.version = config.model.version,
                               .is_multimodal = place.is_multimodal(),
                               .mm_use_im_start_end = config.model.mm_use_im_start_end,
                               .model_max_length = config.optimization.model_max_length,
                               .compat = config.compat()},
                              &tokenizer);
  if (place.is_multimodal()) {
    rules.pictures = data::open_picture_rules(place.tower_folder, place.description.config.geometry,
                                              config.data.image_aspect_ratio,
                                              config.data.image_folder, config.compat());
  }
  return rules;
}

data::BadSamplePolicy bad_sample_policy(const std::string& name) {
  if (name == "skip") return data::BadSamplePolicy::kSkip;
  return name == "substitute" ? data::BadSamplePolicy::kSubstitute : data::BadSamplePolicy::kFail;
}

// A hash of what features depend on besides the picture: the tower's weights, what is taken of
// them, how pictures are prepared, the compute type.
std::string feature_recipe(const BasePlace& place, const TrainConfig& config,
                           const data::PictureRules& pictures, ThreadPool* pool) {
  const std::string text =
      fmt::format("1\n{}\n{} {} {}\n{}", checkpoint::base_weights_sha256(place.tower_folder, pool),
                  config.model.mm_vision_select_layer, config.model.mm_vision_select_feature,
                  dtype_name(compute_types(config).vision_tower), data::picture_recipe(pictures));
  return to_hex(sha256(std::as_bytes(std::span(text)))).substr(0, 16);
}

data::Grouping grouping_of(const OptimizationArguments& o) {
  if (o.group_by_modality_length) return data::Grouping::kModalityLength;
  if (o.group_by_picture) return data::Grouping::kPicture;
  return o.group_by_length ? data::Grouping::kLength : data::Grouping::kNone;
}

data::OrderOptions order_of(const TrainConfig& config, const data::ConversationFile& file,
                            ThreadPool& pool) {
  const OptimizationArguments& o = config.optimization;
  data::OrderOptions order{.num_samples = file.size(),
                           .batch_size = o.per_device_train_batch_size,
                           .accumulation = o.gradient_accumulation_steps,
                           .seed = config.run.seed,
                           .grouping = grouping_of(o),
                           .drop_last = config.run.dataloader_drop_last};
  order.lengths = file.lengths(order.grouping, pool);
  return order;
}

int64_t num_elements(const std::vector<TrainedParameter>& parameters) {
  int64_t count = 0;
  for (const TrainedParameter& parameter : parameters) count += parameter.value.numel();
  return count;
}

}  // namespace

bool run_training(Context& ctx, const TrainConfig& config,
                  const std::function<bool()>& stop_requested) {
  validate(config);
  if (config.contrastive.is_on()) return run_contrastive(ctx, config, stop_requested);
  const auto begin = std::chrono::steady_clock::now();
  fs::create_directories(config.run.output_dir);
  const std::optional<fs::path> checkpoint = find_checkpoint(config);
  BasePlace place = locate_base(config);
  const data::TrainingTokenizer tokenizer = open_base_tokenizer(place, config);
  data::SampleRules rules = sample_rules(config, place, *tokenizer.tokenizer);
  std::optional<FeatureCache> features;
  if (!config.data.feature_cache.empty() && place.is_multimodal()) {
    features.emplace(config.data.feature_cache,
                     feature_recipe(place, config, rules.pictures, ctx.pool),
                     config.data.feature_cache_gb * 1'000'000'000);
    rules.pictures.needs_pixels = [&](const Sha256& content) { return !features->has(content); };
  }
  const data::SampleMaker maker(*tokenizer.tokenizer, std::move(rules));
  const auto file = data::ConversationFile::open(config.data.data_path);
  std::optional<data::ConversationFile> held_out;
  if (!config.run.eval_data_path.empty()) {
    held_out = data::ConversationFile::open(config.run.eval_data_path);
  }

  check_data(config, file, maker, *ctx.pool);
  if (config.optimization.tf32) {
    at::globalContext().setAllowTF32CuBLAS(*config.optimization.tf32);
    at::globalContext().setAllowTF32CuDNN(*config.optimization.tf32);
  }

  std::string base_sha256;
  if (config.lora.lora_enable) {
    ProgressBar bar("hashing the base");
    base_sha256 = checkpoint::base_weights_sha256(
        place.folder, ctx.pool, [&](uint64_t done, uint64_t total) { bar.update(done, total); });
  }
  record_gradients(ctx.backend, true);
  std::unique_ptr<model::LlavaModel> model;
  {
    ProgressBar bar("loading");
    model = load_base(ctx, place, config, tokenizer,
                      [&](uint64_t done, uint64_t total) { bar.update(done, total); });
  }
  Trainables trainables = make_trainable(*model, config);
  data::SampleSource source(file, maker, bad_sample_policy(config.data.on_bad_sample));
  DatasetBatches batches(source, order_of(config, file, *ctx.pool),
                         {.num_workers = config.run.dataloader_num_workers});
  std::optional<SequentialBatches> evaluation;
  if (held_out) {
    evaluation.emplace(*held_out, maker, config.optimization.per_device_eval_batch_size);
  }
  const StepPlan plan =
      plan_steps(batches.batches_per_epoch(), config.optimization.gradient_accumulation_steps,
                 config.optimization.num_train_epochs, config.optimization.max_steps,
                 config.optimization.warmup_ratio, config.optimization.warmup_steps);
  const DeepSpeedConfig deepspeed = open_deepspeed_config(
      config, {.num_warmup_steps = plan.num_warmup_steps, .num_steps = plan.num_steps});
  log_info("training",
           {{"samples", std::to_string(file.size())},
            {"steps", std::to_string(plan.num_steps)},
            {"trained", std::to_string(num_elements(trainables.parameters))},
            {"dtype", std::string(dtype_name(model->dtype()))},
            {"vision_tower_dtype",
             model->vision_tower ? std::string(dtype_name(model->vision_dtype())) : "none"},
            {"clipping", deepspeed.clipping ? fmt::format("{}", *deepspeed.clipping) : "none"}});
  RunReporter reporter(config.run, plan.num_steps,
                       checkpoint ? step_of_checkpoint(*checkpoint) : 0);
  Trainer trainer({.ctx = ctx,
                   .config = config,
                   .deepspeed = deepspeed,
                   .place = place,
                   .model = *model,
                   .trainables = trainables,
                   .data = batches,
                   .evaluation = evaluation ? &*evaluation : nullptr,
                   .reporter = reporter,
                   .base_sha256 = base_sha256,
                   .features = features ? &*features : nullptr});
  if (checkpoint) trainer.resume(*checkpoint);
  if (!trainer.run(stop_requested)) return false;
  write_model_files(config.run.output_dir,
                    {.config = config,
                     .place = place,
                     .model = *model,
                     .trainables = trainables,
                     .backend = ctx.backend,
                     .base_sha256 = base_sha256},
                    /*is_final=*/true);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  finish_run({.config = config,
              .progress = trainer.progress(),
              .num_steps = trainer.plan().num_steps,
              .num_epochs = trainer.num_epochs(),
              .mean_loss = trainer.mean_loss(),
              .seconds = seconds,
              .num_samples = file.size()},
             reporter);
  return true;
}

}  // namespace llava::train
