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
#include "llava/core/file.h"
#include "llava/core/hash.h"
#include "llava/core/json.h"
#include "llava/core/log.h"
#include "llava/data/check_report.h"
#include "llava/data/dataset_check.h"
#include "llava/data/training_inputs.h"
#include "llava/train/dataset_batches.h"
#include "llava/train/memory_plan.h"
#include "llava/train/quantized_base.h"
#include "llava/train/save_space.h"
#include "llava/train/trainer.h"

namespace llava::train {
namespace {

namespace fs = std::filesystem;

// Characters of the list of bad samples in a message.
constexpr std::size_t kMostListed = 2000;

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

// Looks through the data before anything expensive. Policies that live with bad samples go on.
// Returns the samples' lengths; by words where nothing is looked at.
std::vector<int32_t> check_data(const TrainConfig& config, const data::ConversationFile& file,
                                const data::SampleMaker& maker, ThreadPool& pool) {
  if (config.data.skip_data_check) {
    try {
      return file.lengths(data::Grouping::kLength, pool);
    } catch (const Error&) {
      // A record that is bad is named when it is due.
      return std::vector(static_cast<std::size_t>(file.size()),
                         config.optimization.model_max_length);
    }
  }
  ProgressBar bar("checking data");
  data::CheckOptions options{.maker = &maker, .pictures = maker.rules().pictures};
  options.depth = data::PictureDepth::kHeader;
  options.progress = [&bar](uint64_t done, uint64_t total) { bar.update(done, total); };
  data::DataReport report = data::check_dataset(file, options, pool);
  bar.clear();
  // For `llava train report`.
  write_file_atomically(fs::path(config.run.output_dir) / "data_check.json",
                        to_text(data::check_report_json(report), 2) + "\n");
  log_info("data_checked",
           {{"samples", std::to_string(report.num_samples)},
            {"trained_tokens", std::to_string(report.num_labels)},
            {"untrained_samples", std::to_string(report.count(data::Trap::kUntrained))},
            {"cut_samples", std::to_string(report.count(data::Trap::kCut))}});
  if (report.passes()) return std::move(report.lengths);
  const std::string errors = data::check_report_errors(report);
  // The original does not look, and goes on until a sample stops it.
  const bool is_reference = config.compat() == Compat::kReference;
  if (is_reference || config.data.on_bad_sample != "fail") {
    log_warning("bad_data", {{"errors", errors}, {"policy", config.data.on_bad_sample}});
    return std::move(report.lengths);
  }
  std::string list;
  for (const data::Finding& finding : report.findings) {
    if (report.is_error(finding.trap) && list.size() < kMostListed) list += "\n  " + finding.what;
  }
  fail(ErrorCode::kBadFormat,
       "'{}' is not fit to train on: {}.{}\n'llava data check' has the whole list. Mend the data, "
       "choose --on-bad-sample skip or substitute, or give --skip-data-check",
       file.source(), errors, list);
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

StepPlan plan_of(const TrainConfig& config, int64_t batches_per_epoch) {
  const OptimizationArguments& o = config.optimization;
  return plan_steps(batches_per_epoch, o.gradient_accumulation_steps, o.num_train_epochs,
                    o.max_steps, o.warmup_ratio, o.warmup_steps);
}

// Samples of a run's largest micro-batch, without those that cannot be made.
std::vector<SamplePtr> largest_samples(const TrainConfig& config, const data::OrderOptions& order,
                                       std::vector<int32_t> lengths, data::SampleSource& source) {
  for (int32_t& length : lengths) {
    length = std::min(length, config.optimization.model_max_length);
  }
  const int64_t batches = plan_of(config, data::EpochOrder(order).batches_per_rank()).num_steps *
                          config.optimization.gradient_accumulation_steps;
  std::vector<SamplePtr> samples;
  for (const int64_t index : largest_batch(order, lengths, batches)) {
    if (std::optional<data::Sample> sample = source.get(index)) {
      samples.push_back(std::make_shared<data::Sample>(*std::move(sample)));
    }
  }
  return samples;
}

void log_plan(const MemoryPlan& plan) {
  constexpr int64_t kMiB = int64_t{1} << 20;
  std::string parts;
  for (const MemoryPart& part : plan.parts) {
    parts += fmt::format("{}{} {}", parts.empty() ? "" : ", ", part.what, part.num_bytes / kMiB);
  }
  log_info(
      "memory_plan",
      {{"mib", std::to_string(plan.total() / kMiB)}, {"parts", parts}, {"moment", plan.moment}});
}

int64_t num_elements(const std::vector<TrainedParameter>& parameters) {
  int64_t count = 0;
  for (const TrainedParameter& parameter : parameters) count += parameter.value.numel();
  return count;
}

// The published closing entry, and the files that go beside the model.
void finish(const TrainConfig& config, Trainer& trainer, RunReporter& reporter, double seconds,
            int64_t num_samples) {
  Progress progress = trainer.progress();
  const auto steps = static_cast<double>(progress.global_step);
  const double epochs = config.optimization.num_train_epochs;
  const double samples = config.optimization.max_steps > 0
                             ? steps * config.optimization.gradient_accumulation_steps *
                                   config.optimization.per_device_train_batch_size
                             : static_cast<double>(num_samples) * epochs;
  Json summary = {{"train_runtime", round_decimals(seconds, 4)},
                  {"train_samples_per_second", round_decimals(samples / seconds, 3)},
                  {"train_steps_per_second", round_decimals(steps / seconds, 3)},
                  {"total_flos", progress.total_flos},
                  {"train_loss", trainer.mean_loss()},
                  {"epoch", round_decimals(progress.epochs_done, 2)}};
  reporter.report_summary(progress.global_step, summary);
  summary["step"] = progress.global_step;
  progress.log_history.push_back(summary);
  const fs::path folder = config.run.output_dir;
  write_file_atomically(
      folder / "trainer_state.json",
      to_text(trainer_state(config, progress, trainer.plan().num_steps, trainer.num_epochs()), 2) +
          "\n");
  write_file_atomically(folder / "training_args.json", to_text(to_json(config), 2) + "\n");
}

}  // namespace

bool run_training(Context& ctx, const TrainConfig& config,
                  const std::function<bool()>& stop_requested) {
  validate(config);
  const auto begin = std::chrono::steady_clock::now();
  fs::create_directories(config.run.output_dir);
  const std::optional<fs::path> checkpoint = find_checkpoint(config);
  BasePlace place = locate_base(config);
  const data::TrainingTokenizer tokenizer = data::open_training_tokenizer(
      {.folder = place.folder,
       .is_mistral = place.description.config.decoder.family == model::DecoderFamily::kMistral,
       .version = config.model.version,
       .is_multimodal = place.is_multimodal(),
       .mm_use_im_patch_token = config.model.mm_use_im_patch_token,
       .mm_use_im_start_end = config.model.mm_use_im_start_end});
  data::SampleRules rules = sample_rules(config, place, *tokenizer.tokenizer);
  // The plan encodes pictures, whatever a cache has of them.
  const data::SampleMaker plan_maker(*tokenizer.tokenizer, rules);
  std::optional<FeatureCache> features;
  if (!config.data.feature_cache.empty() && place.is_multimodal()) {
    features.emplace(config.data.feature_cache,
                     feature_recipe(place, config, rules.pictures, ctx.pool),
                     config.data.feature_cache_gb * 1'000'000'000);
    rules.pictures.needs_pixels = [&](const Sha256& content) { return !features->has(content); };
  }
  const data::SampleMaker maker(*tokenizer.tokenizer, std::move(rules));
  const auto file = data::ConversationFile::open(config.data.data_path);
  data::SampleSource plan_source(file, plan_maker, data::BadSamplePolicy::kSkip);
  std::optional<data::ConversationFile> held_out;
  if (!config.run.eval_data_path.empty()) {
    held_out = data::ConversationFile::open(config.run.eval_data_path);
  }

  const std::vector<int32_t> lengths = check_data(config, file, maker, *ctx.pool);
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
    const checkpoint::ModelWeights weights = open_base(place, config, tokenizer);
    const PlanInputs inputs{.ctx = ctx,
                            .shape = place.description.config,
                            .weights = weights,
                            .largest_batch = [&](const TrainConfig& c) {
                              return largest_samples(c, order_of(c, file, *ctx.pool), lengths,
                                                     plan_source);
                            }};
    const MemoryPlan memory = plan_memory(inputs, config);
    if (config.run.memory_plan) {
      fmt::print("{}", to_table(memory, memory_savings(inputs, config, memory)));
      return true;
    }
    log_plan(memory);
    require_memory(inputs, config, memory);
    ProgressBar bar("loading");
    model = load_base(ctx, place, weights, config,
                      [&](uint64_t done, uint64_t total) { bar.update(done, total); });
  }
  quantize_base(*model, config, *ctx.pool);
  Trainables trainables = make_trainable(*model, config);
  data::SampleSource source(file, maker, bad_sample_policy(config.data.on_bad_sample));
  DatasetBatches batches(source, order_of(config, file, *ctx.pool),
                         {.num_workers = config.run.dataloader_num_workers});
  std::optional<SequentialBatches> evaluation;
  std::optional<SampleAnswers> answers;
  if (held_out) {
    evaluation.emplace(*held_out, maker, config.optimization.per_device_eval_batch_size);
    answers.emplace(*held_out, maker, config.run.eval_predictions,
                    config.optimization.per_device_eval_batch_size);
  }
  const StepPlan plan = plan_of(config, batches.batches_per_epoch());
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
                   .answers = answers ? &*answers : nullptr,
                   .reporter = reporter,
                   .base_sha256 = base_sha256,
                   .features = features ? &*features : nullptr});
  if (checkpoint) trainer.resume(*checkpoint);
  const ModelToSave result{.config = config,
                           .place = place,
                           .model = *model,
                           .trainables = trainables,
                           .backend = ctx.backend,
                           .base_sha256 = base_sha256};
  require_run_space(result, trainer.num_checkpoints_to_come());
  if (!trainer.run(stop_requested)) return false;
  write_model_files(config.run.output_dir, result, /*is_final=*/true);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  finish(config, trainer, reporter, seconds, file.size());
  return true;
}

}  // namespace llava::train
