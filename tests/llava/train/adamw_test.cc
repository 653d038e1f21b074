// SPDX-License-Identifier: Apache-2.0
#include "llava/train/adamw.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace llava::train {
namespace {

// The formula of arXiv:1711.05101, algorithm 2, in double.
struct DoubleAdamW {
  double value, m = 0, v = 0;

  void step(double g, double rate, double decay, int t) {
    value -= rate * decay * value;
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    value -= rate * (m / (1 - std::pow(0.9, t))) / (std::sqrt(v / (1 - std::pow(0.999, t))) + 1e-8);
  }
};

TEST(AdamWTest, FollowsTheFormula) {
  const at::Tensor start = at::randn({257});
  std::vector<TrainedParameter> parameters;
  parameters.push_back(make_parameter("layer.weight", start, at::kFloat));
  AdamW optimizer(parameters, {{.members = {0}, .base_rate = 1, .weight_decay = 0.1}}, {});
  std::vector<DoubleAdamW> expected;
  for (int64_t i = 0; i < start.numel(); ++i) expected.push_back({start[i].item<double>()});
  for (int t = 1; t <= 5; ++t) {
    const at::Tensor gradient = at::randn({257});
    optimizer.step({gradient}, {0.01 * t});
    for (int64_t i = 0; i < start.numel(); ++i) {
      expected[static_cast<std::size_t>(i)].step(gradient[i].item<double>(), 0.01 * t, 0.1, t);
    }
  }
  for (int64_t i = 0; i < start.numel(); ++i) {
    const double wanted = expected[static_cast<std::size_t>(i)].value;
    EXPECT_NEAR(parameters[0].value[i].item<double>(), wanted, 1e-5 * (1 + std::abs(wanted)));
  }
}

// The published schedules begin with rate 0: the first step changes the moments alone.
TEST(AdamWTest, ARateOfZeroLeavesTheWeights) {
  const at::Tensor start = at::randn({32});
  std::vector<TrainedParameter> parameters;
  parameters.push_back(make_parameter("layer.weight", start, at::kFloat));
  AdamW optimizer(parameters, {{.members = {0}, .base_rate = 1, .weight_decay = 0.1}}, {});
  optimizer.step({at::randn({32})}, {0.0});
  EXPECT_TRUE(parameters[0].value.equal(start));
  EXPECT_GT(optimizer.first_moments()[0].abs().min().item<double>(), 0.0);
  EXPECT_GT(optimizer.second_moments()[0].abs().min().item<double>(), 0.0);
}

TEST(AdamWTest, WorkingCopiesOf16BitsFollowTheirMasters) {
  std::vector<TrainedParameter> parameters;
  parameters.push_back(make_parameter("layer.weight", at::randn({64}), at::kBFloat16));
  AdamW optimizer(parameters, {{.members = {0}, .base_rate = 1, .weight_decay = 0}}, {});
  for (int t = 0; t < 3; ++t) optimizer.step({at::randn({64})}, {1e-4});
  EXPECT_TRUE(parameters[0].value.equal(parameters[0].master.to(at::kBFloat16)));
  // Updates that bfloat16 would round away are kept.
  EXPECT_FALSE(parameters[0].master.equal(parameters[0].value.to(at::kFloat)));
}

}  // namespace
}  // namespace llava::train
