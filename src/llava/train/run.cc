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
#include "llava/train/block_allocator.h"
#include "llava/train/check_data.h"
#include "llava/train/contrastive_run.h"
#include "llava/train/dataset_batches.h"
#include "llava/train/memory_plan.h"
#include "llava/train/quantized_base.h"
#include "llava/train/rank_agreement.h"
#include "llava/train/rank_choice.h"
#include "llava/train/run_summary.h"
#include "llava/train/save_space.h"
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
                            const BatchShape& shape, ThreadPool& pool) {
  data::OrderOptions order{.num_samples = file.size(),
                           .batch_size = shape.batch_size,
                           .world_size = shape.batches_per_round,
                           .accumulation = shape.accumulation,
                           .seed = config.run.seed,
                           .grouping = grouping_of(config.optimization)};
  order.lengths = file.lengths(order.grouping, pool);
  return order;
}

StepPlan plan_of(const OptimizationArguments& o, int64_t rounds_per_epoch, int64_t max_steps) {
  return plan_steps(rounds_per_epoch, o.gradient_accumulation_steps, o.num_train_epochs, max_steps,
                    o.warmup_ratio, o.warmup_steps);
}

BatchShape batch_shape(const OptimizationArguments& o, bool takes_turns, int32_t num_ranks) {
  return {.batch_size = o.per_device_train_batch_size,
          .batches_per_round = takes_turns ? 1 : num_ranks,
          .accumulation = o.gradient_accumulation_steps};
}

// Samples of a run's largest micro-batch, without those that cannot be made.
std::vector<SamplePtr> largest_samples(const TrainConfig& config, const data::OrderOptions& order,
                                       std::vector<int32_t> lengths, data::SampleSource& source) {
  for (int32_t& length : lengths) {
    length = std::min(length, config.optimization.model_max_length);
  }
  const OptimizationArguments& o = config.optimization;
  const data::BatchShare share{.batch_size = order.batch_size,
                               .world_size = order.world_size,
                               .drop_last = config.run.dataloader_drop_last};
  const StepPlan plan = plan_of(o, data::num_rank_batches(order.num_samples, share), o.max_steps);
  const int64_t batches = plan.num_steps * o.gradient_accumulation_steps;
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

// Whether ranks that share the work of one process are sooner than it; a run that is resumed goes
// on as it was (`saved_number`; 0 for a new one).
bool is_better_together(Context& ctx, const model::LlavaModel& model, Trainables& trainables,
                        const TrainConfig& config, DatasetBatches& data, FeatureCache* features,
                        int32_t saved_number, const RunOptions& options, RankGroup& group) {
  if (saved_number == group.size() || saved_number == 1) return saved_number == group.size();
  data.start_epoch({});
  std::vector<SamplePtr> samples;
  for (int32_t i = 0; i <= group.rank(); ++i) samples = data.next_batch();
  // A file with fewer micro-batches than ranks leaves some without one.
  std::vector<const data::Sample*> pointers;
  for (const SamplePtr& sample : samples) pointers.push_back(sample.get());
  data::FlatBatch batch;
  if (!pointers.empty()) {
    batch = data::make_flat_batch(pointers, config.optimization.model_max_length,
                                  config.shares_prefixes());
  }
  const PassOptions pass = pass_options(config, trainables, features);
  const StepTimes times =
      measure_step({.ctx = ctx,
                    .model = model,
                    .parameters = trainables.parameters,
                    .batch = batch,
                    .options = pass,
                    .accumulation = config.optimization.gradient_accumulation_steps,
                    .num_threads_alone = options.num_threads_alone},
                   group);
  if (group.is_first()) {
    log_info("processes_measured",
             {{"processes", std::to_string(group.size())},
              {"step_seconds", fmt::format("{:.3f}", times.together)},
              {"step_seconds_of_one", fmt::format("{:.3f}", times.alone)},
              {"chosen", times.are_faster_together() ? std::to_string(group.size()) : "1"}});
  }
  return times.are_faster_together();
}

RunEnd train_as_rank(Context& ctx, const TrainConfig& config, RankGroup& group,
                     const RunOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  fs::create_directories(config.run.output_dir);
  require_same_flags(group, config);
  const std::optional<fs::path> checkpoint = common_checkpoint(group, config);
  BasePlace place = locate_base(config);
  const data::TrainingTokenizer tokenizer = open_base_tokenizer(place, config);
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

  const std::vector<int32_t> lengths = check_data(config, file, maker, *ctx.pool, group.is_first());
  if (config.optimization.tf32) {
    at::globalContext().setAllowTF32CuBLAS(*config.optimization.tf32);
    at::globalContext().setAllowTF32CuDNN(*config.optimization.tf32);
  }

  std::string base_sha256;
  if (config.lora.lora_enable && group.is_first()) {
    ProgressBar bar("hashing the base");
    base_sha256 = checkpoint::base_weights_sha256(
        place.folder, ctx.pool, [&](uint64_t done, uint64_t total) { bar.update(done, total); });
  }
  record_gradients(ctx.backend, true);
  std::unique_ptr<model::LlavaModel> model;
  {
    const bool takes_turns = config.run.num_processes == 0;
    const checkpoint::ModelWeights weights = open_base(place, config, tokenizer);
    const PlanInputs inputs{
        .ctx = ctx,
        .shape = place.description.config,
        .weights = weights,
        .largest_batch = [&](const TrainConfig& c) {
          const BatchShape shape = batch_shape(c.optimization, takes_turns, group.size());
          return largest_samples(c, order_of(c, file, shape, *ctx.pool), lengths, plan_source);
        }};
    const MemoryPlan memory = plan_memory(inputs, config);
    if (config.run.memory_plan) {
      if (group.is_first()) {
        fmt::print("{}", to_table(memory, memory_savings(inputs, config, memory)));
      }
      return RunEnd::kFinished;
    }
    if (group.is_first()) log_plan(memory);
    require_memory(inputs, config, memory);
    ProgressBar bar("loading");
    model = load_base(ctx, place, weights, config, [&](uint64_t done, uint64_t total) {
      if (group.is_first()) bar.update(done, total);
    });
  }
  quantize_base(*model, config, *ctx.pool);
  Trainables trainables = make_trainable(*model, config);
  const bool takes_turns = config.run.num_processes == 0;
  require_same_values(group, trainables.parameters);
  data::SampleSource source(file, maker, bad_sample_policy(config.data.on_bad_sample));
  const OptimizationArguments& o = config.optimization;
  DataShape shape{.num_samples = file.size(),
                  .num_processes = group.size(),
                  .batches = batch_shape(o, takes_turns, group.size())};
  std::optional<SavedShape> saved;
  if (checkpoint) saved = read_saved_shape(*checkpoint);
  shape.order = saved ? saved->order : shape.batches;
  const RankShare share{.batch_size = o.per_device_train_batch_size,
                        .rank = group.rank(),
                        .num_ranks = group.size(),
                        .takes_turns = takes_turns,
                        .drop_last = config.run.dataloader_drop_last};
  if (takes_turns && !group.is_alone()) {
    const int32_t saved_number = saved ? saved->num_processes : 0;
    DatasetBatches measured(source, order_of(config, file, shape.order, *ctx.pool), share, {});
    if (!is_better_together(ctx, *model, trainables, config, measured,
                            features ? &*features : nullptr, saved_number, options, group)) {
      return RunEnd::kBetterAlone;
    }
  }
  DatasetBatches batches(source, order_of(config, file, shape.order, *ctx.pool), share,
                         {.num_workers = config.run.dataloader_num_workers});
  std::optional<SequentialBatches> evaluation;
  std::optional<SampleAnswers> answers;
  if (held_out) {
    evaluation.emplace(*held_out, maker, o.per_device_eval_batch_size, group.rank(), group.size());
    if (group.is_first()) {
      answers.emplace(*held_out, maker, config.run.eval_predictions, o.per_device_eval_batch_size);
    }
  }
  StepPlan plan = plan_of(o, batches.rounds_per_epoch(), o.max_steps);
  if (saved && o.max_steps <= 0) {
    const int64_t rounds_left = batches.rounds_from(std::min(saved->first_sample, file.size()));
    plan = plan_of(o, batches.rounds_per_epoch(),
                   resumed_num_steps(*saved, shape, plan, rounds_left, o.num_train_epochs));
  }
  const DeepSpeedConfig deepspeed =
      open_deepspeed_config(config, {.world_size = shape.batches.batches_per_round,
                                     .num_warmup_steps = plan.num_warmup_steps,
                                     .num_steps = plan.num_steps});
  std::optional<RunReporter> reporter;
  if (group.is_first()) {
    log_info("training",
             {{"samples", std::to_string(file.size())},
              {"steps", std::to_string(plan.num_steps)},
              {"processes", std::to_string(group.size())},
              {"trained", std::to_string(num_elements(trainables.parameters))},
              {"dtype", std::string(dtype_name(model->dtype()))},
              {"vision_tower_dtype",
               model->vision_tower ? std::string(dtype_name(model->vision_dtype())) : "none"},
              {"clipping", deepspeed.clipping ? fmt::format("{}", *deepspeed.clipping) : "none"}});
    reporter.emplace(config.run, plan.num_steps, checkpoint ? step_of_checkpoint(*checkpoint) : 0);
  }
  Trainer trainer({.ctx = ctx,
                   .config = config,
                   .deepspeed = deepspeed,
                   .place = place,
                   .model = *model,
                   .trainables = trainables,
                   .data = batches,
                   .evaluation = evaluation ? &*evaluation : nullptr,
                   .answers = answers ? &*answers : nullptr,
                   .reporter = reporter ? &*reporter : nullptr,
                   .group = group,
                   .batches_per_round = shape.batches.batches_per_round,
                   .plan = plan,
                   .shape = shape,
                   .base_sha256 = base_sha256,
                   .features = features ? &*features : nullptr});
  if (checkpoint) trainer.resume(*checkpoint);
  const ModelToSave result{.config = config,
                           .place = place,
                           .model = *model,
                           .trainables = trainables,
                           .backend = ctx.backend,
                           .base_sha256 = base_sha256};
  if (group.is_first()) require_run_space(result, trainer.num_checkpoints_to_come());
  const bool is_finished = trainer.run(options.stop_requested);
  if (is_finished && group.is_first()) {
    write_model_files(config.run.output_dir, result, /*is_final=*/true);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    finish_run({.config = config,
                .progress = trainer.progress(),
                .num_steps = trainer.plan().num_steps,
                .num_epochs = trainer.num_epochs(),
                .mean_loss = trainer.mean_loss(),
                .seconds = seconds,
                .num_samples = file.size(),
                .samples_per_step = trainer.samples_per_step()},
               *reporter);
  }
  // None ends while others may wait for it, or write.
  group.wait_for_all();
  return is_finished ? RunEnd::kFinished : RunEnd::kStopped;
}

}  // namespace

RunEnd run_training(Context& ctx, const TrainConfig& config, const RunOptions& options) {
  validate(config);
  use_block_allocator();
  RankPlace place;
  if (!options.is_alone) place = rank_place_of_environment();
  if (config.contrastive.is_on()) {
    if (place.size > 1) {
      fail(ErrorCode::kUnsupported,
           "--stage contrastive trains in one process, and a launcher has started {} (WORLD_SIZE): "
           "its loss compares the samples of a whole batch; give it --threads instead",
           place.size);
    }
    return run_contrastive(ctx, config, options.stop_requested) ? RunEnd::kFinished
                                                                : RunEnd::kStopped;
  }
  place.timeout = std::chrono::seconds(config.run.ddp_timeout);
  if (config.run.num_processes > 1 && config.run.num_processes != place.size) {
    fail(
        ErrorCode::kInvalidArgument,
        "--num-processes is {}, and a launcher has started {} (WORLD_SIZE): leave the flag out, or "
        "start without the launcher",
        config.run.num_processes, place.size);
  }
  RankGroup group(place);
  try {
    return train_as_rank(ctx, config, group, options);
  } catch (const Error& error) {
    group.leave_failed(error.code(), error.what());
    throw;
  } catch (const std::exception& error) {
    group.leave_failed(ErrorCode::kInternal, error.what());
    throw;
  }
}

}  // namespace llava::train
