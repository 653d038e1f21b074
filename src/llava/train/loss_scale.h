// SPDX-License-Identifier: Apache-2.0
//
// The dynamic loss scale of float16 runs (arXiv:1710.03740, section 3.2): small gradients survive
// float16 because the loss is multiplied before the backward pass.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

namespace llava::train {

/// Starts at 2^16. An overflow first uses up one of two lives, then halves the scale; a thousand
/// steps without one double it and give the lives back.
///
/// Source: DeepSpeed 0.12 `runtime/fp16/loss_scaler.py` with the published files' settings.
class LossScale {
 public:
  /// `is_on` false: the scale is 1 and stays.
  explicit LossScale(bool is_on) : is_on_(is_on), scale_(is_on ? 65536.0 : 1.0) {}

  bool is_on() const { return is_on_; }
  double value() const { return scale_; }
  /// After a step whose gradients were all finite, or not.
  ///
  /// Throws: Error(kInvalidArgument) for an overflow at the scale 1: the run has left float16.
  void update(bool has_overflowed);

  nlohmann::json save() const;
  void restore(const nlohmann::json& saved);

 private:
  bool is_on_;
  double scale_;
  int32_t lives_ = 2;
  int64_t steps_since_overflow_ = 0;
};

}  // namespace llava::train
