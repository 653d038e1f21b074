// SPDX-License-Identifier: Apache-2.0
#include "llava/train/trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "llava/backend/torch/torch_tensor.h"
#include "llava/core/log.h"

namespace llava::train {
namespace {

constexpr int32_t kMostSkippedInARow = 10;

// Steps between two events; a value below 1 is a share of all steps.
int64_t interval(double value, int64_t num_steps) {
  if (value <= 0) return 0;
  if (value < 1) return static_cast<int64_t>(std::ceil(value * static_cast<double>(num_steps)));
  return static_cast<int64_t>(value);
}

GroupRates group_rates(const TrainConfig& config, const DeepSpeedConfig& deepspeed) {
  const OptimizationArguments& o = config.optimization;
  GroupRates rates{.learning_rate = o.learning_rate,
                   .projector_rate = o.mm_projector_lr.value_or(o.learning_rate),
                   .vision_tower_rate = o.mm_vision_tower_lr.value_or(o.learning_rate),
                   .weight_decay = o.weight_decay,
                   .splits_projector = o.mm_projector_lr.has_value()};
  if (deepspeed.has_optimizer) {
    rates.projector_rate = rates.vision_tower_rate = o.learning_rate;
    rates.splits_projector = false;
  }
  return rates;
}

std::vector<ParameterGroup> groups_of(const TrainerParts& parts) {
  std::vector<ParameterGroup> groups =
      make_groups(parts.trainables.parameters, group_rates(parts.config, parts.deepspeed));
  if (parts.deepspeed.has_optimizer) {
    // One group, decayed as a whole.
    for (std::size_t g = 1; g < groups.size(); ++g) {
      groups[0].members.insert(groups[0].members.end(), groups[g].members.begin(),
                               groups[g].members.end());
    }
    groups.resize(1);
    std::ranges::sort(groups[0].members);
  }
  return groups;
}

LrSchedule schedule_of(const TrainerParts& parts, const StepPlan& plan) {
  const OptimizationArguments& o = parts.config.optimization;
  return {parts.deepspeed.has_warmup_scheduler ? "deepspeed_warmup" : o.lr_scheduler_type,
          plan.num_steps, plan.num_warmup_steps, o.learning_rate};
}

StepPlan plan_of(const TrainerParts& parts) {
  const OptimizationArguments& o = parts.config.optimization;
  return plan_steps(parts.data.batches_per_epoch(), o.gradient_accumulation_steps,
                    o.num_train_epochs, o.max_steps, o.warmup_ratio, o.warmup_steps);
}

// What the published software counts for its `total_flos`: parameters of no embedding.
double parameters_without_embeddings(model::LlavaModel& model) {
  double count = 0;
  model::visit(model, {.on_parameter =
                           [&](const std::string& name, model::Parameter& parameter) {
                             if (!parameter.value.is_defined() ||
                                 name.find("embed_tokens") != std::string::npos ||
                                 name.find("position_embedding") != std::string::npos) {
                               return;
                             }
                             count += static_cast<double>(parameter.value.numel());
                           },
                       .on_linear =
                           [&](const std::string&, model::Linear& linear) {
                             for (const model::LoraAdapter& adapter : linear.adapters) {
                               count += static_cast<double>(adapter.a_RI.numel()) +
                                        static_cast<double>(adapter.b_OR.numel());
                             }
                           }});
  return count;
}

}  // namespace

Trainer::Trainer(const TrainerParts& parts)
    : parts_(parts),
      plan_(plan_of(parts)),
      num_epochs_(
          parts.config.optimization.max_steps > 0
              ? (plan_.num_steps + plan_.steps_per_epoch - 1) / plan_.steps_per_epoch
              : static_cast<int64_t>(std::ceil(parts.config.optimization.num_train_epochs))),
      gradients_(parts.trainables.parameters),
      optimizer_(parts.trainables.parameters, groups_of(parts),
                 {.beta1 = parts.config.optimization.adam_beta1,
                  .beta2 = parts.config.optimization.adam_beta2,
                  .epsilon = parts.config.optimization.adam_epsilon}),
      schedule_(schedule_of(parts, plan_)),
      losses_(parts.config.optimization.gradient_accumulation_steps,
              parts.config.run.logging_nan_inf_filter),
      scale_(parts.config.optimization.fp16),
      state_{progress_, losses_, scale_, optimizer_, parts.trainables},
      pass_options_(pass_options(parts.config, parts.trainables, parts.features)),
      reduces_by_token_(parts.config.optimization.loss_reduction == "token"),
      logging_steps_(interval(parts.config.run.logging_steps, plan_.num_steps)),
      save_steps_(interval(parts.config.run.save_steps, plan_.num_steps)),
      eval_steps_(parts.config.run.eval_steps > 0
                      ? interval(parts.config.run.eval_steps, plan_.num_steps)
                      : logging_steps_),
      parameters_without_embeddings_(parameters_without_embeddings(parts.model)) {}

void Trainer::resume(const std::filesystem::path& checkpoint) {
  load_checkpoint(checkpoint, parts_.config, state_);
  // The epochs before are asked for again: the order of samples goes on from its generators.
  for (int64_t epoch = 0; epoch < progress_.epoch; ++epoch) {
    parts_.data.start_epoch(parts_.data.batches_per_epoch());
  }
  log_info("resumed", {{"checkpoint", checkpoint.string()},
                       {"step", std::to_string(progress_.global_step)},
                       {"of", std::to_string(plan_.num_steps)}});
}

bool Trainer::run(const std::function<bool()>& stop_requested) {
  while (!is_over()) {
    if (!run_epoch(stop_requested)) return false;
  }
  answer_questions();
  load_best();
  return true;
}

bool Trainer::is_over() const {
  const int32_t patience = parts_.config.run.early_stopping_patience;
  return progress_.global_step >= plan_.num_steps ||
         (patience > 0 && progress_.evaluations_since_best >= patience);
}

int64_t Trainer::num_checkpoints_to_come() const {
  const std::string& strategy = parts_.config.run.save_strategy;
  if (strategy == "epoch") return num_epochs_ - progress_.epoch;
  if (strategy != "steps" || save_steps_ == 0) return 0;
  return plan_.num_steps / save_steps_ - progress_.global_step / save_steps_;
}

void Trainer::load_best() {
  if (!parts_.config.run.load_best_model_at_end || progress_.best_checkpoint.empty()) return;
  load_weights(progress_.best_checkpoint, parts_.trainables);
  log_info("best_model", {{"checkpoint", progress_.best_checkpoint},
                          {"eval_loss", fmt::format("{}", *progress_.best_metric)}});
}

bool Trainer::run_epoch(const std::function<bool()>& stop_requested) {
  const RunArguments& run = parts_.config.run;
  const int64_t batches = parts_.data.batches_per_epoch();
  parts_.data.start_epoch(run.ignore_data_skip ? 0 : progress_.epoch_batch);
  while (progress_.epoch_batch < batches) {
    MicroBatch batch = take(parts_.data.next_batch());
    ++progress_.epoch_batch;
    ++progress_.micro_step;
    progress_.total_flos += flos_of(batch);
    if (reduces_by_token_) {
      pending_.push_back(std::move(batch));
    } else {
      run_micro_batch(batch, 0);
    }
    if (!is_step_due(batches)) continue;
    finish_step();
    if (is_over()) break;
    if (stop_requested && stop_requested()) {
      checkpoint();
      return false;
    }
  }
  if (progress_.epoch_batch >= batches) {
    ++progress_.epoch;
    progress_.epoch_batch = 0;
  }
  if (run.logging_strategy == "epoch") report();
  if (run.evaluation_strategy == "epoch") evaluate();
  if (run.save_strategy == "epoch") checkpoint();
  return true;
}

Trainer::MicroBatch Trainer::take(const std::vector<SamplePtr>& samples) const {
  std::vector<const data::Sample*> pointers;
  for (const SamplePtr& sample : samples) pointers.push_back(sample.get());
  return {.samples = samples,
          .flat = data::make_flat_batch(pointers, parts_.config.optimization.model_max_length),
          .number = progress_.micro_step};
}

// The published rule: the count of micro-batches runs across epochs, but an epoch that is shorter
// than a step ends with one.
bool Trainer::is_step_due(int64_t batches_in_epoch) const {
  const int64_t accumulation = parts_.config.optimization.gradient_accumulation_steps;
  return progress_.micro_step % accumulation == 0 ||
         (batches_in_epoch <= accumulation && progress_.epoch_batch == batches_in_epoch);
}

void Trainer::run_micro_batch(const MicroBatch& batch, double tokens_of_step) {
  *parts_.trainables.lora.clock = {.is_training = true,
                                   .micro_step = static_cast<uint32_t>(batch.number)};
  const auto num_labels = static_cast<double>(batch.flat.targets.size());
  const double accumulation = parts_.config.optimization.gradient_accumulation_steps;
  float mean = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor sum = summed_loss(parts_.ctx, parts_.model, batch.flat, pass_options_);
  if (sum.defined()) {
    mean = (sum.detach() / num_labels).item<float>();
    has_bad_loss_ = has_bad_loss_ || !std::isfinite(mean);
    const double weight =
        reduces_by_token_ ? 1.0 / tokens_of_step : 1.0 / (num_labels * accumulation);
    (sum * (weight * scale_.value())).backward();
    gradients_.collect();
  }
  losses_.add(reduces_by_token_ && sum.defined()
                  ? static_cast<float>(static_cast<double>(mean) * num_labels * accumulation /
                                       tokens_of_step)
                  : mean,
              progress_.global_step);
  counts_.tokens += batch.flat.num_tokens();
  counts_.label_tokens += static_cast<int64_t>(batch.flat.targets.size());
  counts_.micro_losses.push_back(mean);
  for (const SamplePtr& sample : batch.samples) {
    counts_.ignored_samples += data::num_trained(*sample) == 0 ? 1 : 0;
    counts_.sample_indices.push_back(sample->index);
    held_samples_.push_back(sample);
  }
}

void Trainer::finish_step() {
  if (reduces_by_token_) {
    double tokens = 0;
    for (const MicroBatch& batch : pending_) {
      tokens += static_cast<double>(batch.flat.targets.size());
    }
    for (const MicroBatch& batch : pending_) run_micro_batch(batch, tokens);
    pending_.clear();
  }
  if (scale_.is_on()) gradients_.scale(1.0 / scale_.value());
  const double norm = gradients_.norm();
  counts_.gradient_norm = norm;
  bool takes_step = true;
  const bool has_overflowed = scale_.is_on() && !std::isfinite(norm);
  scale_.update(has_overflowed);
  if (has_overflowed) {
    // Not a fault of the data: the scale was too large.
    takes_step = false;
  } else if (checks_finite() && (has_bad_loss_ || !std::isfinite(norm))) {
    if (parts_.config.optimization.on_nonfinite == "stop" ||
        ++num_skipped_in_a_row_ == kMostSkippedInARow) {
      stop_on_nonfinite(has_bad_loss_ ? "loss" : "gradient");
    }
    takes_step = false;
  } else {
    num_skipped_in_a_row_ = 0;
  }
  if (takes_step) {
    if (const auto clipping = parts_.deepspeed.clipping) {
      const double factor = *clipping / (norm + 1e-6);
      if (factor < 1.0) gradients_.scale(factor);
    }
    optimizer_.step(gradients_.all(), rates_at(progress_.global_step));
  } else {
    ++counts_.skipped_steps;
    ++progress_.skipped_steps;
  }
  gradients_.clear();
  held_samples_.clear();
  has_bad_loss_ = false;
  ++progress_.global_step;
  progress_.epochs_done = static_cast<double>(progress_.epoch) +
                          static_cast<double>(progress_.epoch_batch) /
                              static_cast<double>(parts_.data.batches_per_epoch());
  after_step();
}

void Trainer::after_step() {
  const RunArguments& run = parts_.config.run;
  const int64_t step = progress_.global_step;
  const auto is_due = [&](const std::string& strategy, int64_t every) {
    return strategy == "steps" && every > 0 && step % every == 0;
  };
  if (is_due(run.logging_strategy, logging_steps_) || (step == 1 && run.logging_first_step)) {
    report();
  }
  if (is_due(run.evaluation_strategy, eval_steps_)) evaluate();
  parts_.reporter.update_progress(step);
  if (is_due(run.save_strategy, save_steps_)) checkpoint();
}

void Trainer::report() {
  const int64_t step = progress_.global_step;
  if (step == losses_.last_taken_step()) return;
  LogEntry entry{.step = step,
                 .epoch = round_decimals(progress_.epochs_done, 2),
                 .loss = round_decimals(losses_.take_mean(step), 4),
                 .learning_rate = rates_at(step).front()};
  progress_.log_history.push_back(to_json(entry));
  parts_.reporter.report(entry, counts_);
  counts_ = {};
}

void Trainer::evaluate() {
  if (parts_.evaluation == nullptr) return;
  const at::NoGradGuard no_grad;
  parts_.trainables.lora.clock->is_training = false;
  double sum = 0;
  double num_samples = 0;
  parts_.evaluation->start_epoch(0);
  const int64_t batches = parts_.evaluation->batches_per_epoch();
  for (int64_t i = 0; i < batches; ++i) {
    const MicroBatch batch = take(parts_.evaluation->next_batch());
    const at::Tensor loss = summed_loss(parts_.ctx, parts_.model, batch.flat, pass_options_);
    if (!loss.defined()) continue;
    // As published: the mean over samples of the mean loss of their batch.
    const auto size = static_cast<double>(batch.samples.size());
    sum += size * loss.item<double>() / static_cast<double>(batch.flat.targets.size());
    num_samples += size;
  }
  const double loss = num_samples > 0 ? sum / num_samples : std::nan("");
  const double epoch = round_decimals(progress_.epochs_done, 2);
  progress_.log_history.push_back(
      {{"eval_loss", loss}, {"epoch", epoch}, {"step", progress_.global_step}});
  parts_.reporter.report_evaluation(progress_.global_step, epoch, loss);
  if (!progress_.best_metric || loss < *progress_.best_metric) {
    progress_.best_metric = loss;
    progress_.best_step = progress_.global_step;
    progress_.evaluations_since_best = 0;
  } else {
    ++progress_.evaluations_since_best;
  }
  answer_questions();
}

void Trainer::answer_questions() {
  if (parts_.answers == nullptr || answered_step_ == progress_.global_step) return;
  answered_step_ = progress_.global_step;
  parts_.trainables.lora.clock->is_training = false;
  parts_.reporter.report_predictions(
      parts_.answers->answer(parts_.ctx, parts_.model, pass_options_, answered_step_));
}

void Trainer::checkpoint() {
  save_checkpoint({.config = parts_.config,
                   .place = parts_.place,
                   .model = parts_.model,
                   .trainables = parts_.trainables,
                   .backend = parts_.ctx.backend,
                   .base_sha256 = parts_.base_sha256},
                  state_, plan_.num_steps, num_epochs_);
}

std::vector<double> Trainer::rates_at(int64_t step) const {
  const double factor = schedule_.factor(step - progress_.skipped_steps);
  const std::vector<ParameterGroup>& groups = optimizer_.groups();
  std::vector<double> rates;
  for (const ParameterGroup& group : groups) rates.push_back(group.base_rate * factor);
  const bool misassigns =
      parts_.deepspeed.is_given && parts_.config.compat() == Compat::kReference && step > 0;
  if (!misassigns) return rates;
  // DeepSpeed drops empty groups when the schedule already holds the rates of all: the rest gets
  // them by position.
  std::size_t position = 0;
  std::vector<double> shifted = rates;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (!groups[g].members.empty()) shifted[g] = rates[position++];
  }
  return shifted;
}

bool Trainer::checks_finite() const { return parts_.config.compat() == Compat::kIntended; }

void Trainer::stop_on_nonfinite(const char* what) const {
  std::string names;
  for (const SamplePtr& sample : held_samples_) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", sample->index);
  }
  fail(ErrorCode::kInvalidArgument,
       "step {}: the {} is no finite number; the weights are as they were before the step. Its "
       "samples (from 0): {}. Look at them, lower --learning-rate, or give --on-nonfinite skip",
       progress_.global_step + 1, what, names);
}

double Trainer::flos_of(const MicroBatch& batch) const {
  // The published count goes by the padded ids, a picture being one of them.
  std::size_t longest = 0;
  for (const SamplePtr& sample : batch.samples) {
    longest = std::max(
        longest, std::min(sample->ids.size(),
                          static_cast<std::size_t>(parts_.config.optimization.model_max_length)));
  }
  return 6.0 * static_cast<double>(longest * batch.samples.size()) * parameters_without_embeddings_;
}

}  // namespace llava::train
