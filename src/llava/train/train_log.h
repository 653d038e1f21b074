// SPDX-License-Identifier: Apache-2.0
//
// What a run reports of its steps, in the published library's terms: the numbers of its log lines
// and of trainer_state.json.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace llava::train {

/// The published mean of losses: float32 sums of micro-losses over accumulation, in which a loss
/// that is no number is replaced by the mean so far; of several ranks the mean of their sums.
///
/// Source: transformers 4.37 `trainer.py`, _inner_training_loop and _maybe_log_save_evaluate.
class LossMeter {
 public:
  /// `filters_nan`: --logging_nan_inf_filter.
  LossMeter(int32_t accumulation, bool filters_nan, int32_t num_ranks = 1)
      : accumulation_(accumulation),
        filters_nan_(filters_nan),
        sums_(static_cast<std::size_t>(num_ranks)) {}

  /// Adds the mean loss of a micro-batch of a rank; `num_steps` optimiser steps are done by now.
  void add(float micro_loss, int64_t num_steps, int32_t rank = 0);
  /// Mean loss of a step since the last call of this, which starts anew; `num_steps` are done.
  double take_mean(int64_t num_steps);
  /// Mean loss of a step over the whole run, what is not yet taken included.
  double total_mean(int64_t num_steps) const;

  int64_t last_taken_step() const { return last_taken_step_; }
  nlohmann::json save() const;
  /// Of a run with another number of ranks each has the mean of its sums.
  void restore(const nlohmann::json& saved);

 private:
  float mean_sum() const;

  int32_t accumulation_;
  bool filters_nan_;
  std::vector<float> sums_;  // one for each rank
  double total_ = 0;
  int64_t last_taken_step_ = 0;
};

/// One entry of the history.
struct LogEntry {
  int64_t step = 0;
  double epoch = 0;
  double loss = 0;
  double learning_rate = 0;
};

/// `value` rounded to so many decimals, as Python's round does for these magnitudes.
double round_decimals(double value, int decimals);

/// The entry as the published trainer prints it: {'loss': 1.25, 'learning_rate': 0.001, 'epoch':
/// 0.1}.
std::string to_line(const LogEntry& entry);
/// The entry as trainer_state.json has it.
nlohmann::json to_json(const LogEntry& entry);

}  // namespace llava::train
