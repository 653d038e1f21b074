// SPDX-License-Identifier: Apache-2.0
#include "llava/train/lora.h"

#include <ATen/TensorOperators.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llava/core/error.h"

namespace llava::train {
namespace {

model::LlavaConfig tiny_config() {
  model::LlavaConfig config;
  config.decoder.vocab_size = 32;
  config.decoder.hidden_size = 16;
  config.decoder.intermediate_size = 24;
  config.decoder.num_hidden_layers = 2;
  config.decoder.num_attention_heads = 2;
  config.decoder.num_key_value_heads = 2;
  config.decoder.head_dim = 8;
  config.projector.type = model::ProjectorType::kMlp;
  config.vision.hidden_size = 8;
  config.vision.intermediate_size = 16;
  config.vision.num_hidden_layers = 1;
  config.vision.num_attention_heads = 1;
  config.vision.image_size = 28;
  config.vision.patch_size = 14;
  return config;
}

LoraArguments rank_4() {
  LoraArguments arguments;
  arguments.lora_enable = true;
  arguments.lora_r = 4;
  arguments.lora_alpha = 8;
  return arguments;
}

TEST(LoraTest, TargetsAreTheDecodersLinearLayers) {
  model::LlavaModel model(tiny_config());
  const auto targets = lora_targets(model, "");
  EXPECT_EQ(targets.size(), 14u);
  EXPECT_EQ(targets.front(), "model.layers.0.self_attn.q_proj");
  for (const std::string& name : targets) {
    EXPECT_THAT(name, ::testing::StartsWith("model.layers."));
  }
}

TEST(LoraTest, APatternIsMatchedWithWholeNames) {
  model::LlavaModel model(tiny_config());
  EXPECT_EQ(lora_targets(model, ".*self_attn\\.[qv]_proj").size(), 6u);  // the tower's too
  EXPECT_EQ(lora_targets(model, "model\\.layers\\..*_proj").size(), 14u);
  EXPECT_EQ(lora_targets(model, "model\\.mm_projector.*").size(), 2u);
  EXPECT_THROW(lora_targets(model, "q_proj"), Error);
  EXPECT_THROW(lora_targets(model, "lm_head"), Error);
  EXPECT_THROW(lora_targets(model, "("), Error);
}

TEST(LoraTest, AdaptersStartAsPeftsDo) {
  model::LlavaModel model(tiny_config());
  std::vector<TrainedParameter> parameters;
  const Lora lora = attach_lora(model, rank_4(), 7, DType::kFloat32, parameters);
  ASSERT_EQ(parameters.size(), 2 * lora.targets.size());
  EXPECT_EQ(parameters[0].name, "model.layers.0.self_attn.q_proj.lora_A");
  EXPECT_EQ(parameters[1].name, "model.layers.0.self_attn.q_proj.lora_B");
  EXPECT_EQ(parameters[0].value.sizes(), (std::vector<int64_t>{4, 16}));
  EXPECT_EQ(parameters[1].value.sizes(), (std::vector<int64_t>{16, 4}));
  const auto most = parameters[0].value.abs().max().item<double>();
  EXPECT_LE(most, 0.25);  // 1 / sqrt(16)
  EXPECT_GT(most, 0.2);
  EXPECT_EQ(parameters[1].value.abs().max().item<double>(), 0.0);
  const auto& adapters = model.decoder.layers[0].self_attn.q_proj.adapters;
  ASSERT_EQ(adapters.size(), 1u);
  EXPECT_EQ(adapters[0].scale, 2.0f);
  EXPECT_TRUE(parameters[0].value.requires_grad());

  model::LlavaModel other(tiny_config());
  std::vector<TrainedParameter> same;
  attach_lora(other, rank_4(), 7, DType::kFloat32, same);
  EXPECT_TRUE(same[2].value.equal(parameters[2].value));
}

TEST(LoraTest, RankStabilisedScale) {
  model::LlavaModel model(tiny_config());
  LoraArguments arguments = rank_4();
  arguments.lora_use_rslora = true;
  std::vector<TrainedParameter> parameters;
  attach_lora(model, arguments, 7, DType::kFloat32, parameters);
  EXPECT_EQ(model.decoder.layers[0].mlp.down_proj.adapters[0].scale, 4.0f);
}

}  // namespace
}  // namespace llava::train
