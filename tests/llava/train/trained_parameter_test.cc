// SPDX-License-Identifier: Apache-2.0
#include "llava/train/trained_parameter.h"

#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace llava::train {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<TrainedParameter> some_parameters() {
  std::vector<TrainedParameter> parameters;
  for (const char* name :
       {"model.layers.0.self_attn.q_proj.weight", "model.layers.0.input_layernorm.weight",
        "model.mm_projector.0.weight", "model.mm_projector.0.bias", "lm_head.weight"}) {
    parameters.push_back(make_parameter(name, at::ones({2}), at::kFloat));
  }
  return parameters;
}

TEST(ParameterGroupsTest, AreTheOriginals) {
  const auto parameters = some_parameters();
  const auto two = make_groups(parameters, {.learning_rate = 1e-3, .weight_decay = 0.1});
  ASSERT_EQ(two.size(), 2u);
  EXPECT_THAT(two[0].members, ElementsAre(0, 2, 4));
  EXPECT_EQ(two[0].weight_decay, 0.1);
  EXPECT_THAT(two[1].members, ElementsAre(1, 3));
  EXPECT_EQ(two[1].weight_decay, 0.0);

  const auto four = make_groups(parameters, {.learning_rate = 1e-3,
                                             .projector_rate = 1e-4,
                                             .weight_decay = 0.1,
                                             .splits_projector = true});
  ASSERT_EQ(four.size(), 4u);
  EXPECT_THAT(four[0].members, ElementsAre(0, 4));
  EXPECT_THAT(four[1].members, ElementsAre(1));
  EXPECT_THAT(four[2].members, ElementsAre(2));
  EXPECT_EQ(four[2].base_rate, 1e-4);
  EXPECT_THAT(four[3].members, ElementsAre(3));
  EXPECT_EQ(four[3].base_rate, 1e-4);
}

TEST(ParameterGroupsTest, TheTowerHasItsOwn) {
  std::vector<TrainedParameter> parameters = some_parameters();
  const std::string tower = "model.vision_tower.vision_tower.vision_model.encoder.layers.0.";
  for (const char* name : {"mlp.fc1.weight", "mlp.fc1.bias", "layer_norm1.weight"}) {
    parameters.push_back(make_parameter(tower + name, at::ones({2}), at::kFloat));
  }
  const auto groups = make_groups(
      parameters, {.learning_rate = 1e-3, .vision_tower_rate = 2e-6, .weight_decay = 0.1});
  ASSERT_EQ(groups.size(), 4u);
  EXPECT_THAT(groups[2].members, ElementsAre(5));
  EXPECT_EQ(groups[2].base_rate, 2e-6);
  EXPECT_THAT(groups[3].members, ElementsAre(6, 7));
}

}  // namespace
}  // namespace llava::train
