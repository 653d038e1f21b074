// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/answer_length.h"

#include <algorithm>
#include <cmath>

namespace llava::engine {
namespace {

// Tokens that a short history of answers is assumed to have.
constexpr double kFirstMean = 128;
constexpr double kMinConservativeness = 0.3;
constexpr double kMaxConservativeness = 1.5;
constexpr int32_t kCleanSteps = 100;

}  // namespace

double AnswerLength::expected_more(int32_t num_so_far, int32_t max_tokens) const {
  double expected = kFirstMean;
  if (num_answers_ > 0) {
    const double variance =
        std::max(0.0, sum_of_squares_ / static_cast<double>(num_answers_) - mean_ * mean_);
    expected = mean_ + std::sqrt(variance);
  }
  const double left = std::max(0, max_tokens - num_so_far);
  return std::min(left, std::max(0.0, expected - num_so_far)) * conservativeness_;
}

void AnswerLength::note_answer(int32_t num_tokens) {
  ++num_answers_;
  const double length = num_tokens;
  mean_ += (length - mean_) / static_cast<double>(num_answers_);
  sum_of_squares_ += length * length;
}

void AnswerLength::note_preemption() {
  conservativeness_ = std::min(kMaxConservativeness, conservativeness_ + 0.1);
  clean_steps_ = 0;
}

void AnswerLength::note_step() {
  if (++clean_steps_ < kCleanSteps) return;
  clean_steps_ = 0;
  conservativeness_ = std::max(kMinConservativeness, conservativeness_ - 0.01);
}

}  // namespace llava::engine
