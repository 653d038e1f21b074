// SPDX-License-Identifier: Apache-2.0
//
// What a run shows while it goes: the published log lines, JSON lines, TensorBoard events and a
// progress bar.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "llava/core/progress.h"
#include "llava/train/tensorboard_writer.h"
#include "llava/train/train_config.h"
#include "llava/train/train_log.h"

namespace llava::train {

/// Sums over the steps since the last report.
struct StepCounts {
  int64_t tokens = 0;                   ///< pictures included
  int64_t label_tokens = 0;             ///< trained
  int64_t ignored_samples = 0;          ///< without a trained token
  int64_t skipped_steps = 0;            ///< updates left out by --on-nonfinite skip
  double gradient_norm = 0;             ///< of the last step, before clipping
  std::vector<float> micro_losses;      ///< mean loss of each micro-batch
  std::vector<int64_t> sample_indices;  ///< in the order they were trained on
};

/// Threads: one thread at a time.
class RunReporter {
 public:
  /// Opens the logs of the output folder, to go on in them after `resumed_step`: entries behind it,
  /// of a run that was killed, are dropped.
  RunReporter(const RunArguments& run, int64_t num_steps, int64_t resumed_step);

  /// One line of the published log, with what we count besides.
  void report(const LogEntry& entry, const StepCounts& counts);
  /// The result of an evaluation; `more` has further numbers by name.
  void report_evaluation(int64_t step, double epoch, double loss,
                         const std::map<std::string, double>& more = {});
  /// Lines of predictions.jsonl (sample_answers.h), which go where JSON lines do.
  void report_predictions(const std::vector<nlohmann::json>& predictions);
  /// The closing summary, as the published trainer prints it.
  void report_summary(int64_t step, const nlohmann::json& summary);
  /// After every step.
  void update_progress(int64_t step);

 private:
  int64_t num_steps_;
  bool shows_progress_;
  std::ofstream lines_;
  std::ofstream predictions_;
  std::unique_ptr<TensorBoardWriter> tensorboard_;
  std::optional<ProgressBar> bar_;
  std::chrono::steady_clock::time_point last_report_;
};

}  // namespace llava::train
