// SPDX-License-Identifier: Apache-2.0
//
// How the learning rate changes over a run.
#pragma once

#include <cstdint>
#include <string>

namespace llava::train {

/// A schedule by the names of --lr-scheduler-type. Step numbers count optimiser steps that are
/// done: the first step is taken at `factor(0)`, which with a warm-up is 0.
///
/// Source: transformers 4.37 `optimization.py`; docs/training.md, "Rates".
class LrSchedule {
 public:
  /// Besides the flag's names there is "deepspeed_warmup", DeepSpeed's WarmupLR as it runs under
  /// the published trainer: full rate at the first step, then ln(k) / ln(warm-up), then full again.
  /// `base_rate` enters the polynomial schedule alone, whose end is a rate and no factor.
  ///
  /// Throws: Error(kInvalidArgument) for an unknown name.
  LrSchedule(const std::string& type, int64_t num_steps, int64_t num_warmup_steps,
             double base_rate);

  /// What the base rates are multiplied with when `step` steps are done.
  double factor(int64_t step) const;

 private:
  enum class Type : uint8_t {
    kLinear,
    kCosine,
    kCosineWithRestarts,
    kPolynomial,
    kConstant,
    kConstantWithWarmup,
    kInverseSqrt,
    kDeepSpeedWarmup,
  };
  static Type parse(const std::string& name);

  Type type_;
  int64_t num_steps_;
  int64_t num_warmup_steps_;
  double base_rate_;
};

/// Optimiser steps of a run and of its warm-up.
struct StepPlan {
  int64_t steps_per_epoch;  ///< at least 1
  int64_t num_steps;
  int64_t num_warmup_steps;
};

/// `batches_per_rank` micro-batches an epoch, `accumulation` of them a step. A positive `max_steps`
/// goes before `epochs`, a positive `warmup_steps` before `warmup_ratio`.
StepPlan plan_steps(int64_t batches_per_rank, int64_t accumulation, double epochs,
                    int64_t max_steps, double warmup_ratio, int64_t warmup_steps);

/// Steps between two events: a value below 1 is a share of all steps; 0: never.
int64_t event_interval(double value, int64_t num_steps);

}  // namespace llava::train
