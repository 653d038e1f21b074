// SPDX-License-Identifier: Apache-2.0
#include "llava/train/gradients.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <vector>

namespace llava::train {
namespace {

TEST(GradientsTest, SumsMeasuresAndScales) {
  std::vector<TrainedParameter> parameters;
  parameters.push_back(make_parameter("a.weight", at::ones({3}), at::kFloat));
  parameters.push_back(make_parameter("b.weight", at::ones({4}), at::kBFloat16));
  parameters.push_back(make_parameter("unused.weight", at::ones({2}), at::kFloat));
  RankGroup alone;
  ParameterShards shards(parameters, alone);
  Gradients gradients(parameters, shards, /*sends_value_type=*/true);
  for (int i = 0; i < 2; ++i) {
    ((parameters[0].value * 2).sum() + (parameters[1].value * 3).sum().to(at::kFloat)).backward();
    gradients.collect();
  }
  gradients.reduce();
  EXPECT_TRUE(gradients.owned()[0].equal(at::full({3}, 4.0f)));
  EXPECT_TRUE(gradients.owned()[1].equal(at::full({4}, 6.0f)));
  // Of what no backward pass reached there are zeros: moments decay all the same.
  EXPECT_TRUE(gradients.owned()[2].equal(at::full({2}, 0.0f)));
  EXPECT_NEAR(gradients.squared_norm(), 3 * 16.0 + 4 * 36.0, 1e-6);
  gradients.scale(0.5);
  EXPECT_TRUE(gradients.owned()[0].equal(at::full({3}, 2.0f)));
  gradients.clear();
  gradients.reduce();
  EXPECT_EQ(gradients.squared_norm(), 0.0);
}

}  // namespace
}  // namespace llava::train
