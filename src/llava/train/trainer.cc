// SPDX-License-Identifier: Apache-2.0
#include "llava/train/trainer.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

#include "llava/backend/torch/torch_tensor.h"
#include "llava/core/log.h"

namespace llava::train {
namespace {

constexpr int32_t kMostSkippedInARow = 10;

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
      plan_(parts.plan),
      num_epochs_(
          parts.config.optimization.max_steps > 0
              ? (plan_.num_steps + plan_.steps_per_epoch - 1) / plan_.steps_per_epoch
              : static_cast<int64_t>(std::ceil(parts.config.optimization.num_train_epochs))),
      shards_(parts.trainables.parameters, parts.group),
      rates_(parts.config, parts.deepspeed, parts.trainables.parameters, plan_),
      gradients_(parts.trainables.parameters, shards_,
                 parts.config.run.grad_reduce_dtype == "model"),
      optimizer_(shards_.owned(), rates_.groups_of_owned(shards_),
                 {.beta1 = parts.config.optimization.adam_beta1,
                  .beta2 = parts.config.optimization.adam_beta2,
                  .epsilon = parts.config.optimization.adam_epsilon}),
      losses_(parts.config.optimization.gradient_accumulation_steps,
              parts.config.run.logging_nan_inf_filter, parts.batches_per_round),
      scale_(parts.config.optimization.fp16),
      state_{progress_,        losses_, scale_,      optimizer_,
             parts.trainables, shards_, parts.group, parts_.shape},
      pass_options_(pass_options(parts.config, parts.trainables, parts.features)),
      reduces_by_token_(parts.config.optimization.loss_reduction == "token"),
      logging_steps_(event_interval(parts.config.run.logging_steps, plan_.num_steps)),
      save_steps_(event_interval(parts.config.run.save_steps, plan_.num_steps)),
      eval_steps_(parts.config.run.eval_steps > 0
                      ? event_interval(parts.config.run.eval_steps, plan_.num_steps)
                      : logging_steps_),
      parameters_without_embeddings_(parameters_without_embeddings(parts.model)) {}

void Trainer::resume(const std::filesystem::path& checkpoint) {
  load_checkpoint(checkpoint, parts_.config, state_);
  // The epochs before are asked for again: the order of samples goes on from its generators.
  for (int64_t epoch = 1; epoch < progress_.epoch; ++epoch) parts_.data.skip_epoch();
  if (progress_.epoch > 0) redo_unfinished_step();
  if (!parts_.group.is_first()) return;
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
  parts_.group.wait_for_all();  // rank 0 may be writing it
  load_weights(progress_.best_checkpoint, parts_.trainables);
  if (!parts_.group.is_first()) return;
  log_info("best_model", {{"checkpoint", progress_.best_checkpoint},
                          {"eval_loss", fmt::format("{}", *progress_.best_metric)}});
}

bool Trainer::run_epoch(const std::function<bool()>& stop_requested) {
  const RunArguments& run = parts_.config.run;
  const int64_t rounds = parts_.data.rounds_from(progress_.first_sample);
  parts_.data.start_epoch({.first_sample = run.ignore_data_skip ? 0 : progress_.first_sample,
                           .num_skipped = run.ignore_data_skip ? 0 : progress_.epoch_batch,
                           .round_of_run = progress_.micro_step});
  while (progress_.epoch_batch < rounds) {
    ++progress_.epoch_batch;
    take_round();
    if (!is_step_due(rounds)) continue;
    finish_step();
    if (is_over()) break;
    if (stop_requested && parts_.group.any(stop_requested())) {
      checkpoint();
      return false;
    }
  }
  if (progress_.epoch_batch >= rounds) {
    ++progress_.epoch;
    progress_.epoch_batch = 0;
    progress_.first_sample = 0;
  }
  // What is left for the first step of the next epoch counts for this one's report, as published.
  if (!is_over()) exchange_results(0);
  if (run.logging_strategy == "epoch") report();
  if (run.evaluation_strategy == "epoch") evaluate();
  if (run.save_strategy == "epoch") checkpoint();
  return true;
}

void Trainer::redo_unfinished_step() {
  const int64_t rounds = parts_.data.rounds_per_epoch();
  const int64_t accumulation = parts_.config.optimization.gradient_accumulation_steps;
  // Where the batches were changed on the way, nothing tells where the epoch began: what it left
  // is lost then, as it is in the published software.
  const bool is_redone = progress_.epoch_batch == 0 && rounds > accumulation &&
                         parts_.shape.order == parts_.shape.batches &&
                         !parts_.config.run.ignore_data_skip;
  const int64_t unfinished = is_redone ? progress_.micro_step % accumulation : 0;
  if (unfinished == 0) {
    parts_.data.skip_epoch();
    return;
  }
  progress_.micro_step -= unfinished;
  progress_.num_batches -= unfinished * parts_.batches_per_round;
  parts_.data.start_epoch({.first_sample = 0,
                           .num_skipped = rounds - unfinished,
                           .round_of_run = progress_.micro_step});
  for (int64_t i = 0; i < unfinished; ++i) take_round();
  // The checkpoint has counted them.
  step_results_ = take_results();
  if (parts_.config.run.logging_strategy == "epoch") return;
  for (const MicroResult& result : step_results_) count_for_report(result);
}

void Trainer::take_round() {
  const std::vector<SamplePtr> samples = parts_.data.next_batch();
  std::optional<MicroBatch> batch;
  if (!samples.empty()) batch = take(samples);
  ++progress_.micro_step;
  progress_.num_batches += parts_.batches_per_round;
  if (batch && reduces_by_token_) {
    pending_.push_back(std::move(*batch));
  } else if (batch) {
    run_micro_batch(*batch, 0);
  }
}

Trainer::MicroBatch Trainer::take(const std::vector<SamplePtr>& samples) const {
  std::vector<const data::Sample*> pointers;
  for (const SamplePtr& sample : samples) pointers.push_back(sample.get());
  return {.samples = samples,
          .flat = data::make_flat_batch(pointers, parts_.config.optimization.model_max_length,
                                        parts_.config.shares_prefixes()),
          .round = progress_.micro_step,
          .number = progress_.num_batches +
                    (parts_.batches_per_round > 1 ? int64_t{parts_.group.rank()} : 0)};
}

// The published rule: the count of micro-batches runs across epochs, but an epoch that is shorter
// than a step ends with one.
bool Trainer::is_step_due(int64_t rounds) const {
  const int64_t accumulation = parts_.config.optimization.gradient_accumulation_steps;
  return progress_.micro_step % accumulation == 0 ||
         (parts_.data.rounds_per_epoch() <= accumulation && progress_.epoch_batch == rounds);
}

void Trainer::run_micro_batch(const MicroBatch& batch, double tokens_of_step) {
  *parts_.trainables.lora.clock = {.is_training = true,
                                   .micro_step = static_cast<uint32_t>(batch.number)};
  const auto num_labels = static_cast<double>(batch.flat.targets.size());
  const double batches_of_step =
      static_cast<double>(parts_.config.optimization.gradient_accumulation_steps) *
      parts_.batches_per_round;
  float mean = std::numeric_limits<float>::quiet_NaN();
  const at::Tensor sum = summed_loss(parts_.ctx, parts_.model, batch.flat, pass_options_);
  if (sum.defined()) {
    mean = (sum.detach() / num_labels).item<float>();
    const double weight =
        reduces_by_token_ ? 1.0 / tokens_of_step : 1.0 / (num_labels * batches_of_step);
    (sum * (weight * scale_.value())).backward();
    gradients_.collect();
  }
  results_.push_back(result_of(batch, mean));
}

MicroResult Trainer::result_of(const MicroBatch& batch, double mean_loss) const {
  MicroResult result{.round = batch.round,
                     .mean_loss = mean_loss,
                     .num_tokens = static_cast<double>(batch.flat.num_tokens()),
                     .num_labels = static_cast<double>(batch.flat.targets.size()),
                     .flos = flos_of(batch)};
  for (const SamplePtr& sample : batch.samples) {
    result.ignored_samples += data::num_trained(*sample) == 0 ? 1 : 0;
    result.samples.push_back(sample->index);
  }
  return result;
}

std::vector<MicroResult> Trainer::take_results() {
  return gather_results(parts_.group, std::exchange(results_, {}));
}

void Trainer::count(const std::vector<MicroResult>& results, double tokens_of_step) {
  const double batches_of_step =
      static_cast<double>(parts_.config.optimization.gradient_accumulation_steps) *
      parts_.batches_per_round;
  int32_t rank = 0;  // the results of a round are in the order of the ranks
  for (const MicroResult& result : results) {
    const double mean = result.mean_loss;
    losses_.add(static_cast<float>(reduces_by_token_ && result.num_labels > 0
                                       ? mean * result.num_labels * batches_of_step / tokens_of_step
                                       : mean),
                progress_.global_step, rank);
    rank = (rank + 1) % parts_.batches_per_round;
    progress_.total_flos += result.flos;
    count_for_report(result);
  }
}

void Trainer::count_for_report(const MicroResult& result) {
  counts_.tokens += static_cast<int64_t>(result.num_tokens);
  counts_.label_tokens += static_cast<int64_t>(result.num_labels);
  counts_.ignored_samples += static_cast<int64_t>(result.ignored_samples);
  counts_.micro_losses.push_back(static_cast<float>(result.mean_loss));
  counts_.sample_indices.insert(counts_.sample_indices.end(), result.samples.begin(),
                                result.samples.end());
}

void Trainer::exchange_results(double tokens_of_step) {
  const std::vector<MicroResult> results = take_results();
  count(results, tokens_of_step);
  step_results_.insert(step_results_.end(), results.begin(), results.end());
}

double Trainer::sum_tokens_of_step() {
  double tokens = 0;
  for (const MicroBatch& batch : pending_) {
    tokens += static_cast<double>(batch.flat.targets.size());
  }
  parts_.group.sum({&tokens, 1});
  return tokens;
}

void Trainer::finish_step() {
  double tokens_of_step = 0;
  if (reduces_by_token_) {
    tokens_of_step = sum_tokens_of_step();
    for (const MicroBatch& batch : pending_) run_micro_batch(batch, tokens_of_step);
    pending_.clear();
  }
  gradients_.reduce();
  if (scale_.is_on()) gradients_.scale(1.0 / scale_.value());
  double squared_norm = gradients_.squared_norm();
  parts_.group.sum({&squared_norm, 1});
  const double norm = std::sqrt(squared_norm);
  exchange_results(tokens_of_step);
  const bool has_bad_loss = std::ranges::any_of(step_results_, [](const MicroResult& result) {
    return result.num_labels > 0 && !std::isfinite(result.mean_loss);
  });
  counts_.gradient_norm = norm;
  bool takes_step = true;
  const bool has_overflowed = scale_.is_on() && !std::isfinite(norm);
  scale_.update(has_overflowed);
  if (has_overflowed) {
    // Not a fault of the data: the scale was too large.
    takes_step = false;
  } else if (checks_finite() && (has_bad_loss || !std::isfinite(norm))) {
    if (parts_.config.optimization.on_nonfinite == "stop" ||
        ++num_skipped_in_a_row_ == kMostSkippedInARow) {
      stop_on_nonfinite(has_bad_loss ? "loss" : "gradient");
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
    optimizer_.step(gradients_.owned(), rates_at(progress_.global_step));
    shards_.share_values();
  } else {
    ++counts_.skipped_steps;
    ++progress_.skipped_steps;
  }
  gradients_.clear();
  step_results_.clear();
  ++progress_.global_step;
  // The published fraction; behind a change of the batches it is that of what was left.
  const double before =
      static_cast<double>(progress_.first_sample) / static_cast<double>(parts_.shape.num_samples);
  progress_.epochs_done =
      static_cast<double>(progress_.epoch) + before +
      (1.0 - before) * (static_cast<double>(progress_.epoch_batch) /
                        static_cast<double>(parts_.data.rounds_from(progress_.first_sample)));
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
  if (parts_.reporter != nullptr) parts_.reporter->update_progress(step);
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
  if (parts_.reporter != nullptr) parts_.reporter->report(entry, counts_);
  counts_ = {};
}

void Trainer::evaluate() {
  if (parts_.evaluation == nullptr) return;
  const at::NoGradGuard no_grad;
  parts_.trainables.lora.clock->is_training = false;
  std::array<double, 2> sums{};  // of losses, of samples
  parts_.evaluation->start_epoch({});
  const int64_t rounds = parts_.evaluation->rounds_per_epoch();
  for (int64_t i = 0; i < rounds; ++i) {
    const std::vector<SamplePtr> samples = parts_.evaluation->next_batch();
    if (samples.empty()) continue;
    const MicroBatch batch = take(samples);
    const at::Tensor loss = summed_loss(parts_.ctx, parts_.model, batch.flat, pass_options_);
    if (!loss.defined()) continue;
    // As published: the mean over samples of the mean loss of their batch.
    const auto size = static_cast<double>(batch.samples.size());
    sums[0] += size * loss.item<double>() / static_cast<double>(batch.flat.targets.size());
    sums[1] += size;
  }
  parts_.group.sum(sums);
  const double loss = sums[1] > 0 ? sums[0] / sums[1] : std::nan("");
  const double epoch = round_decimals(progress_.epochs_done, 2);
  progress_.log_history.push_back(
      {{"eval_loss", loss}, {"epoch", epoch}, {"step", progress_.global_step}});
  if (parts_.reporter != nullptr) {
    parts_.reporter->report_evaluation(progress_.global_step, epoch, loss);
  }
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
  parts_.reporter->report_predictions(
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
  return rates_.at(step, progress_.skipped_steps);
}

bool Trainer::checks_finite() const { return parts_.config.compat() == Compat::kIntended; }

void Trainer::stop_on_nonfinite(const char* what) const {
  std::string names;
  for (const MicroResult& result : step_results_) {
    for (const int64_t sample : result.samples) {
      names += fmt::format("{}{}", names.empty() ? "" : ", ", sample);
    }
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
