// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/run_log.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_set>

#include "llava/core/error.h"
#include "llava/train_report/json_lines.h"

namespace llava::train_report {
namespace {

template <class Entry>
void drop_from(std::vector<Entry>& entries, uint64_t step) {
  while (!entries.empty() && entries.back().step >= step) entries.pop_back();
}

std::vector<uint64_t> samples_of(const Json& entry) {
  std::vector<uint64_t> samples;
  const auto found = entry.find("samples");
  if (found == entry.end() || !found->is_array()) return samples;
  samples.reserve(found->size());
  for (const Json& sample : *found) {
    if (const auto number = whole_number(sample)) samples.push_back(*number);
  }
  return samples;
}

ReportedStep reported_step(const Json& entry, uint64_t step) {
  ReportedStep reported{.step = step,
                        .epoch = number_of(entry, "epoch"),
                        .loss = number_of(entry, "loss"),
                        .learning_rate = number_of(entry, "learning_rate"),
                        .gradient_norm = number_of(entry, "grad_norm"),
                        .seconds = number_of(entry, "seconds"),
                        .tokens_per_second = number_of(entry, "tokens_per_second"),
                        .tokens = count_of(entry, "tokens"),
                        .label_tokens = count_of(entry, "label_tokens"),
                        .ignored_samples = count_of(entry, "ignored_samples"),
                        .skipped_steps = count_of(entry, "skipped_steps"),
                        .samples = samples_of(entry)};
  reported.has_bad_loss = !std::isfinite(reported.loss);
  return reported;
}

}  // namespace

void RunLog::add(const Json& entry) {
  const auto found = entry.find("step");
  const auto number = found != entry.end() ? whole_number(*found) : std::nullopt;
  if (!number) fail(ErrorCode::kBadFormat, "no 'step', expected a whole number of at least 0");
  const uint64_t step = *number;
  if (entry.contains("train_runtime")) {
    summary_ = entry;
  } else if (entry.contains("eval_loss")) {
    drop_from(evaluations_, step);
    evaluations_.push_back({.step = step, .loss = number_of(entry, "eval_loss")});
  } else if (entry.contains("loss")) {
    if (!steps_.empty() && steps_.back().step >= step) {
      drop_from(evaluations_, step);
      summary_.reset();
    }
    drop_from(steps_, step);
    steps_.push_back(reported_step(entry, step));
  }
}

uint64_t RunLog::last_step() const {
  uint64_t last = 0;
  if (!steps_.empty()) last = steps_.back().step;
  if (!evaluations_.empty()) last = std::max(last, evaluations_.back().step);
  if (summary_) last = std::max(last, count_of(*summary_, "step"));
  return last;
}

RunTotals sum_up(const RunLog& log) {
  RunTotals totals;
  std::unordered_set<uint64_t> different;
  for (const ReportedStep& step : log.steps()) {
    totals.tokens += step.tokens;
    totals.label_tokens += step.label_tokens;
    totals.ignored_samples += step.ignored_samples;
    totals.skipped_steps += step.skipped_steps;
    if (step.has_bad_loss) ++totals.bad_losses;
    totals.samples += step.samples.size();
    different.insert(step.samples.begin(), step.samples.end());
    if (std::isfinite(step.seconds) && step.seconds > 0) totals.seconds += step.seconds;
  }
  totals.different_samples = different.size();
  return totals;
}

}  // namespace llava::train_report
