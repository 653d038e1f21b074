// SPDX-License-Identifier: Apache-2.0
#include "llava/train/contrastive_trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/from_blob.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/data/rank_batches.h"
#include "llava/train/contrastive_loss.h"

namespace llava::train {
namespace {

bool is_due(const std::string& strategy, double every, int64_t step, int64_t num_steps) {
  const int64_t steps = event_interval(every, num_steps);
  return strategy == "steps" && steps > 0 && step % steps == 0;
}

data::OrderOptions order_of(const TrainConfig& config, int64_t num_samples) {
  return {.num_samples = num_samples,
          .batch_size = config.optimization.per_device_train_batch_size,
          .seed = config.run.seed};
}

data::BatchShare share_of(const TrainConfig& config) {
  return {.batch_size = config.optimization.per_device_train_batch_size,
          .drop_last = config.run.dataloader_drop_last};
}

DataShape shape_of(const TrainConfig& config, int64_t num_samples) {
  const BatchShape batches{.batch_size = config.optimization.per_device_train_batch_size,
                           .batches_per_round = 1,
                           .accumulation = 1};
  return {.num_samples = num_samples, .batches = batches, .order = batches};
}

std::vector<ParameterGroup> groups_of(const ContrastiveParts& parts) {
  const OptimizationArguments& o = parts.config.optimization;
  return make_groups(parts.trainables.parameters, {.learning_rate = o.learning_rate,
                                                   .projector_rate = o.learning_rate,
                                                   .vision_tower_rate = o.learning_rate,
                                                   .weight_decay = o.weight_decay});
}

at::Tensor indices_of(const std::vector<int32_t>& captions) {
  return at::from_blob(const_cast<int32_t*>(captions.data()),
                       {static_cast<int64_t>(captions.size())}, at::TensorOptions().dtype(at::kInt))
      .to(at::kLong);
}

}  // namespace

StepPlan contrastive_plan(const TrainConfig& config, int64_t num_samples) {
  const OptimizationArguments& o = config.optimization;
  return plan_steps(data::num_rank_batches(num_samples, share_of(config)), 1, o.num_train_epochs,
                    o.max_steps, o.warmup_ratio, o.warmup_steps);
}

ContrastiveTrainer::ContrastiveTrainer(const ContrastiveParts& parts)
    : parts_(parts),
      plan_(contrastive_plan(parts.config, parts.training.pictures.size())),
      order_(order_of(parts.config, parts.training.pictures.size())),
      shape_(shape_of(parts.config, parts.training.pictures.size())),
      shards_(parts.trainables.parameters, group_),
      groups_(groups_of(parts)),
      gradients_(parts.trainables.parameters, shards_, /*sends_value_type=*/false),
      optimizer_(shards_.owned(), groups_,
                 {.beta1 = parts.config.optimization.adam_beta1,
                  .beta2 = parts.config.optimization.adam_beta2,
                  .epsilon = parts.config.optimization.adam_epsilon}),
      schedule_(parts.config.optimization.lr_scheduler_type, plan_.num_steps,
                plan_.num_warmup_steps, parts.config.optimization.learning_rate),
      losses_(1, parts.config.run.logging_nan_inf_filter),
      state_{progress_, losses_, scale_, optimizer_, parts_.trainables, shards_, group_, shape_} {}

int64_t ContrastiveTrainer::num_epochs() const {
  return (plan_.num_steps + plan_.steps_per_epoch - 1) / plan_.steps_per_epoch;
}

void ContrastiveTrainer::resume(const std::filesystem::path& checkpoint) {
  load_checkpoint(checkpoint, parts_.config, state_);
  if (progress_.first_sample > 0) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' was made with other batches, and the loss of this stage depends on what is in one: "
         "give --per-device-train-batch-size as it was, or start anew",
         checkpoint.string());
  }
  // The order of samples goes on from the generator of the epochs before.
  for (int64_t epoch = 0; epoch < progress_.epoch; ++epoch) order_.next_order();
  log_info("resumed", {{"checkpoint", checkpoint.string()},
                       {"step", std::to_string(progress_.global_step)},
                       {"of", std::to_string(plan_.num_steps)}});
}

bool ContrastiveTrainer::is_over() const {
  const int32_t patience = parts_.config.run.early_stopping_patience;
  return progress_.global_step >= plan_.num_steps ||
         (patience > 0 && progress_.evaluations_since_best >= patience);
}

bool ContrastiveTrainer::run(const std::function<bool()>& stop_requested) {
  while (!is_over()) {
    if (!run_epoch(stop_requested)) return false;
  }
  if (parts_.config.run.load_best_model_at_end && !progress_.best_checkpoint.empty()) {
    load_weights(progress_.best_checkpoint, parts_.trainables);
    log_info("best_model", {{"checkpoint", progress_.best_checkpoint},
                            {"eval_loss", fmt::format("{}", *progress_.best_metric)}});
  }
  return true;
}

bool ContrastiveTrainer::run_epoch(const std::function<bool()>& stop_requested) {
  const std::vector<std::vector<int64_t>> batches =
      data::rank_batches(order_.next_order(), share_of(parts_.config), 0);
  const auto num_batches = static_cast<int64_t>(batches.size());
  while (progress_.epoch_batch < num_batches && !is_over()) {
    step(batches[static_cast<std::size_t>(progress_.epoch_batch)]);
    ++progress_.epoch_batch;
    ++progress_.micro_step;
    ++progress_.global_step;
    progress_.epochs_done =
        static_cast<double>(progress_.epoch) +
        static_cast<double>(progress_.epoch_batch) / static_cast<double>(num_batches);
    after_step();
    if (!is_over() && stop_requested && stop_requested()) {
      checkpoint();
      return false;
    }
  }
  if (progress_.epoch_batch >= num_batches) {
    ++progress_.epoch;
    progress_.epoch_batch = 0;
  }
  const RunArguments& run = parts_.config.run;
  if (run.logging_strategy == "epoch") report();
  if (run.evaluation_strategy == "epoch") evaluate();
  if (run.save_strategy == "epoch") checkpoint();
  return true;
}

void ContrastiveTrainer::step(const std::vector<int64_t>& samples) {
  const TrainConfig& config = parts_.config;
  const ContrastiveBatch batch =
      make_contrastive_batch(parts_.training.pictures, samples,
                             {.augmentation = {.flips = config.contrastive.augment_flip,
                                               .max_shift = config.contrastive.augment_shift},
                              .seed = config.run.seed,
                              .epoch = progress_.epoch},
                             *parts_.ctx.pool);
  const at::Tensor& means_ME = parts_.training.means_ME;
  const at::Tensor owners = indices_of(batch.captions).to(means_ME.device());
  const at::Tensor pictures_NP = picture_vectors(parts_.ctx, parts_.model, batch.pixels_NCSS);
  const at::Tensor captions_NP = caption_vectors(parts_.model, means_ME.index_select(0, owners));
  const at::Tensor logits_NN = similarity(parts_.model, pictures_NP, captions_NP);
  const at::Tensor is_pair_NN = pairs_of(batch.captions).to(logits_NN.device());
  const at::Tensor loss = config.contrastive.contrastive_loss == "clip"
                              ? clip_loss(logits_NN, is_pair_NN)
                              : siglip_loss(logits_NN, is_pair_NN);
  loss.backward();
  gradients_.collect();
  const auto value = loss.item<float>();
  gradients_.reduce();
  const double norm = std::sqrt(gradients_.squared_norm());
  if (!std::isfinite(value) || !std::isfinite(norm)) {
    fail(ErrorCode::kInvalidArgument,
         "step {}: the {} is no finite number; the weights are as they were before the step. Its "
         "samples (from 0): {}. Look at them, or lower --learning-rate",
         progress_.global_step + 1, std::isfinite(value) ? "gradient" : "loss",
         fmt::join(samples, ", "));
  }
  const double limit = config.optimization.max_grad_norm;
  if (limit > 0 && norm > limit) gradients_.scale(limit / (norm + 1e-6));
  optimizer_.step(gradients_.owned(), rates_at(progress_.global_step));
  limit_scale(parts_.trainables.parameters);
  gradients_.clear();
  losses_.add(value, progress_.global_step);
  counts_.gradient_norm = norm;
  counts_.tokens +=
      static_cast<int64_t>(samples.size()) * (parts_.model.vision_model.config.num_patches() + 1);
  counts_.micro_losses.push_back(value);
  counts_.sample_indices.insert(counts_.sample_indices.end(), samples.begin(), samples.end());
}

std::vector<double> ContrastiveTrainer::rates_at(int64_t step) const {
  std::vector<double> rates;
  for (const ParameterGroup& group : groups_) {
    rates.push_back(group.base_rate * schedule_.factor(step));
  }
  return rates;
}

void ContrastiveTrainer::after_step() {
  const RunArguments& run = parts_.config.run;
  const int64_t step = progress_.global_step;
  if (is_due(run.logging_strategy, run.logging_steps, step, plan_.num_steps) ||
      (step == 1 && run.logging_first_step)) {
    report();
  }
  const double eval_every = run.eval_steps > 0 ? run.eval_steps : run.logging_steps;
  if (is_due(run.evaluation_strategy, eval_every, step, plan_.num_steps)) evaluate();
  parts_.reporter.update_progress(step);
  if (is_due(run.save_strategy, run.save_steps, step, plan_.num_steps)) checkpoint();
}

void ContrastiveTrainer::report() {
  const int64_t step = progress_.global_step;
  if (step == losses_.last_taken_step()) return;
  const LogEntry entry{.step = step,
                       .epoch = round_decimals(progress_.epochs_done, 2),
                       .loss = round_decimals(losses_.take_mean(step), 4),
                       .learning_rate = rates_at(step).front()};
  progress_.log_history.push_back(to_json(entry));
  parts_.reporter.report(entry, counts_);
  counts_ = {};
}

ContrastiveTrainer::Score ContrastiveTrainer::score(const CaptionSet& set) const {
  const at::NoGradGuard no_grad;
  const at::Tensor captions_MP = caption_vectors(parts_.model, set.means_ME);
  const int64_t size = set.pictures.size();
  const int64_t batch_size = parts_.config.optimization.per_device_eval_batch_size;
  Score total;
  for (int64_t begin = 0; begin < size; begin += batch_size) {
    std::vector<int64_t> samples(static_cast<std::size_t>(std::min(batch_size, size - begin)));
    std::iota(samples.begin(), samples.end(), begin);
    const ContrastiveBatch batch =
        make_contrastive_batch(set.pictures, samples, {}, *parts_.ctx.pool);
    const at::Tensor logits_NM = similarity(
        parts_.model, picture_vectors(parts_.ctx, parts_.model, batch.pixels_NCSS), captions_MP);
    const at::Tensor own = indices_of(batch.captions).to(logits_NM.device());
    total.loss += at::cross_entropy_loss(logits_NM, own, {}, at::Reduction::Sum).item<double>();
    total.accuracy += (logits_NM.argmax(1) == own).sum().item<double>();
  }
  total.loss /= static_cast<double>(size);
  total.accuracy /= static_cast<double>(size);
  return total;
}

void ContrastiveTrainer::evaluate() {
  if (!parts_.held_out) return;
  const Score found = score(*parts_.held_out);
  const double epoch = round_decimals(progress_.epochs_done, 2);
  progress_.log_history.push_back({{"eval_loss", found.loss},
                                   {"eval_accuracy", found.accuracy},
                                   {"epoch", epoch},
                                   {"step", progress_.global_step}});
  parts_.reporter.report_evaluation(progress_.global_step, epoch, found.loss,
                                    {{"accuracy", found.accuracy}});
  if (!progress_.best_metric || found.loss < *progress_.best_metric) {
    progress_.best_metric = found.loss;
    progress_.best_step = progress_.global_step;
    progress_.evaluations_since_best = 0;
  } else {
    ++progress_.evaluations_since_best;
  }
}

void ContrastiveTrainer::checkpoint() {
  save_checkpoint(
      {.config = parts_.config, .backend = parts_.ctx.backend, .write_files = parts_.write_files},
      state_, plan_.num_steps, num_epochs());
}

}  // namespace llava::train
