// SPDX-License-Identifier: Apache-2.0
#include "llava/train/loss_scale.h"

#include <algorithm>

#include "llava/core/error.h"

namespace llava::train {
namespace {

constexpr int64_t kStepsToDouble = 1000;
constexpr int32_t kLives = 2;

}  // namespace

void LossScale::update(bool has_overflowed) {
  if (!is_on_) return;
  if (!has_overflowed) {
    if (++steps_since_overflow_ % kStepsToDouble == 0) {
      scale_ *= 2;
      lives_ = kLives;
    }
    return;
  }
  steps_since_overflow_ = 0;
  if (lives_ > 1) {
    --lives_;
    return;
  }
  if (scale_ <= 1.0) {
    fail(ErrorCode::kInvalidArgument,
         "float16 overflows even at the smallest loss scale: the run has diverged; lower "
         "--learning-rate, or give --bf16 instead of --fp16");
  }
  scale_ = std::max(1.0, scale_ / 2);
}

nlohmann::json LossScale::save() const {
  return {{"scale", scale_}, {"lives", lives_}, {"steps", steps_since_overflow_}};
}

void LossScale::restore(const nlohmann::json& saved) {
  scale_ = saved.at("scale").get<double>();
  lives_ = saved.at("lives").get<int32_t>();
  steps_since_overflow_ = saved.at("steps").get<int64_t>();
}

}  // namespace llava::train
