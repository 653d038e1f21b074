// SPDX-License-Identifier: Apache-2.0
#include "llava/train/train_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace llava::train {
namespace {

// A float as Python's repr: the shortest digits that give it back, with a point or an exponent.
std::string python_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  const bool is_integer = text.find_first_of(".e") == std::string::npos;
  return is_integer ? text + ".0" : text;
}

}  // namespace

void LossMeter::add(float micro_loss, int64_t num_steps, int32_t rank) {
  float& sum = sums_[static_cast<std::size_t>(rank)];
  const float share = micro_loss / static_cast<float>(accumulation_);
  if (filters_nan_ && !std::isfinite(share)) {
    sum += sum / static_cast<float>(1 + num_steps - last_taken_step_);
  } else {
    sum += share;
  }
}

float LossMeter::mean_sum() const {
  return std::accumulate(sums_.begin(), sums_.end(), 0.0f) / static_cast<float>(sums_.size());
}

double LossMeter::take_mean(int64_t num_steps) {
  const auto sum = static_cast<double>(mean_sum());
  const int64_t steps = std::max<int64_t>(1, num_steps - last_taken_step_);
  total_ += sum;
  std::ranges::fill(sums_, 0.0f);
  last_taken_step_ = num_steps;
  return sum / static_cast<double>(steps);
}

double LossMeter::total_mean(int64_t num_steps) const {
  return (total_ + static_cast<double>(mean_sum())) /
         static_cast<double>(std::max<int64_t>(1, num_steps));
}

nlohmann::json LossMeter::save() const {
  return {{"sums", sums_}, {"total", total_}, {"last_taken_step", last_taken_step_}};
}

void LossMeter::restore(const nlohmann::json& saved) {
  auto sums = saved.at("sums").get<std::vector<float>>();
  const std::size_t num_ranks = sums_.size();
  sums_ = std::move(sums);
  if (sums_.empty()) sums_.assign(1, 0.0f);
  if (sums_.size() != num_ranks) sums_.assign(num_ranks, mean_sum());
  total_ = saved.at("total").get<double>();
  last_taken_step_ = saved.at("last_taken_step").get<int64_t>();
}

double round_decimals(double value, int decimals) {
  // Through decimal text, so that halves are those of the exact value, as in Python.
  return std::isfinite(value) ? std::stod(fmt::format("{:.{}f}", value, decimals)) : value;
}

std::string to_line(const LogEntry& entry) {
  return fmt::format("{{'loss': {}, 'learning_rate': {}, 'epoch': {}}}", python_text(entry.loss),
                     python_text(entry.learning_rate), python_text(entry.epoch));
}

nlohmann::json to_json(const LogEntry& entry) {
  return {{"loss", entry.loss},
          {"learning_rate", entry.learning_rate},
          {"epoch", entry.epoch},
          {"step", entry.step}};
}

}  // namespace llava::train
