// SPDX-License-Identifier: Apache-2.0
//
// What a run reported of its steps: train_log.jsonl, or the log_history of trainer_state.json,
// which the published trainer writes as well.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "llava/core/json.h"

namespace llava::train_report {

/// One report. A value that is not in it is NaN or 0.
struct ReportedStep {
  uint64_t step = 0;
  double epoch = 0;
  double loss = 0;  ///< mean since the report before, in nats for each trained token
  double learning_rate = 0;
  double gradient_norm = 0;  ///< of the last step, before clipping
  double seconds = 0;        ///< since the report before
  double tokens_per_second = 0;
  uint64_t tokens = 0;  ///< pictures included
  uint64_t label_tokens = 0;
  uint64_t ignored_samples = 0;  ///< without a trained token
  uint64_t skipped_steps = 0;    ///< updates left out because of numbers that are none
  bool has_bad_loss = false;     ///< the loss was no number
  std::vector<uint64_t> samples;
};

/// One evaluation on held-out data.
struct Evaluation {
  uint64_t step = 0;
  double loss = 0;
};

/// A run's reports, by rising step.
class RunLog {
 public:
  /// Adds an entry of either file; keys that it does not know are left alone. An entry of a step
  /// that was reported before takes the place of all reports from that step on: the run was resumed
  /// there.
  ///
  /// Throws: Error(kBadFormat) for one without a step.
  void add(const Json& entry);

  const std::vector<ReportedStep>& steps() const { return steps_; }
  const std::vector<Evaluation>& evaluations() const { return evaluations_; }
  /// The closing entry; only finished runs have one.
  const std::optional<Json>& summary() const { return summary_; }
  bool empty() const { return steps_.empty() && evaluations_.empty() && !summary_; }
  uint64_t last_step() const;

 private:
  std::vector<ReportedStep> steps_;
  std::vector<Evaluation> evaluations_;
  std::optional<Json> summary_;
};

/// Sums over a run's reports.
struct RunTotals {
  uint64_t tokens = 0;
  uint64_t label_tokens = 0;
  uint64_t ignored_samples = 0;
  uint64_t skipped_steps = 0;
  uint64_t bad_losses = 0;
  uint64_t samples = 0;            ///< repetitions counted
  uint64_t different_samples = 0;  ///< by their place in the data
  double seconds = 0;              ///< of steps; 0 when no report has them
};

/// Threads: safe.
RunTotals sum_up(const RunLog& log);

}  // namespace llava::train_report
