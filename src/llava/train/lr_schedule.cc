// SPDX-License-Identifier: Apache-2.0
#include "llava/train/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "llava/core/error.h"

namespace llava::train {
namespace {

double ratio(int64_t numerator, int64_t denominator) {
  return static_cast<double>(numerator) / static_cast<double>(std::max<int64_t>(1, denominator));
}

double half_cosine(double turns) {
  return std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * turns)));
}

// The published library's end rate and power of the polynomial schedule.
constexpr double kPolynomialEndRate = 1e-7;
// Steps over which the inverse square root falls where there is no warm-up.
constexpr int64_t kInverseSqrtSteps = 10'000;

}  // namespace

LrSchedule::Type LrSchedule::parse(const std::string& name) {
  if (name == "linear") return Type::kLinear;
  if (name == "cosine") return Type::kCosine;
  if (name == "cosine_with_restarts") return Type::kCosineWithRestarts;
  if (name == "polynomial") return Type::kPolynomial;
  if (name == "constant") return Type::kConstant;
  if (name == "constant_with_warmup") return Type::kConstantWithWarmup;
  if (name == "inverse_sqrt") return Type::kInverseSqrt;
  if (name == "deepspeed_warmup") return Type::kDeepSpeedWarmup;
  fail(ErrorCode::kInvalidArgument,
       "--lr-scheduler-type is '{}', expected linear, cosine, cosine_with_restarts, polynomial, "
       "constant, constant_with_warmup or inverse_sqrt",
       name);
}

LrSchedule::LrSchedule(const std::string& type, int64_t num_steps, int64_t num_warmup_steps,
                       double base_rate)
    : type_(parse(type)),
      num_steps_(num_steps),
      num_warmup_steps_(num_warmup_steps),
      base_rate_(base_rate) {}

double LrSchedule::factor(int64_t step) const {
  if (type_ == Type::kConstant) return 1.0;
  if (type_ == Type::kDeepSpeedWarmup) {
    const int64_t warmup = std::max<int64_t>(2, num_warmup_steps_);
    if (step == 0 || step > warmup) return 1.0;
    return std::log(static_cast<double>(step)) / std::log(static_cast<double>(warmup));
  }
  if (step < num_warmup_steps_) return ratio(step, num_warmup_steps_);
  const double progress = ratio(step - num_warmup_steps_, num_steps_ - num_warmup_steps_);
  switch (type_) {
    case Type::kLinear:
      return std::max(0.0, ratio(num_steps_ - step, num_steps_ - num_warmup_steps_));
    case Type::kCosine:
      return half_cosine(progress);
    case Type::kCosineWithRestarts:
      // One cycle, the library's default: it differs from cosine past the end only.
      return progress >= 1.0 ? 0.0 : half_cosine(std::fmod(progress, 1.0));
    case Type::kPolynomial: {
      if (step > num_steps_) return kPolynomialEndRate / base_rate_;
      const double rate = (base_rate_ - kPolynomialEndRate) * (1.0 - progress) + kPolynomialEndRate;
      return rate / base_rate_;
    }
    case Type::kInverseSqrt: {
      const int64_t steps = num_warmup_steps_ > 0 ? num_warmup_steps_ : kInverseSqrtSteps;
      return 1.0 / std::sqrt(static_cast<double>(step + steps - num_warmup_steps_) /
                             static_cast<double>(steps));
    }
    case Type::kConstant:
    case Type::kConstantWithWarmup:
    case Type::kDeepSpeedWarmup:
      break;
  }
  return 1.0;
}

StepPlan plan_steps(int64_t batches_per_rank, int64_t accumulation, double epochs,
                    int64_t max_steps, double warmup_ratio, int64_t warmup_steps) {
  StepPlan plan{};
  plan.steps_per_epoch = std::max<int64_t>(1, batches_per_rank / accumulation);
  plan.num_steps =
      max_steps > 0
          ? max_steps
          : static_cast<int64_t>(std::ceil(epochs * static_cast<double>(plan.steps_per_epoch)));
  plan.num_warmup_steps =
      warmup_steps > 0
          ? warmup_steps
          : static_cast<int64_t>(std::ceil(static_cast<double>(plan.num_steps) * warmup_ratio));
  return plan;
}

int64_t event_interval(double value, int64_t num_steps) {
  if (value <= 0) return 0;
  if (value < 1) return static_cast<int64_t>(std::ceil(value * static_cast<double>(num_steps)));
  return static_cast<int64_t>(value);
}

}  // namespace llava::train
