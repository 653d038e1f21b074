// SPDX-License-Identifier: Apache-2.0
#include "llava/model/parameter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "random_model.h"

namespace llava::model {
namespace {

std::map<std::string, Shape> parameters_of(LlavaConfig config) {
  LlavaModel model(config);
  std::map<std::string, Shape> names;
  visit(model, {.on_parameter = [&](const std::string& name,
                                    Parameter& parameter) { names[name] = parameter.shape; },
                .on_linear = {}});
  return names;
}

// The names are those of published checkpoints: renaming one breaks every file there is.
TEST(Describe, NamesAreThePublishedOnes) {
  LlavaConfig config = tiny_config();
  config.decoder.num_hidden_layers = 1;
  config.vision.num_hidden_layers = 1;
  config.decoder.has_qkv_bias = true;
  config.has_image_newline = true;
  const std::map<std::string, Shape> expected{
      {"lm_head.weight", {50, 24}},
      {"model.embed_tokens.weight", {50, 24}},
      {"model.image_newline", {24}},
      {"model.layers.0.input_layernorm.weight", {24}},
      {"model.layers.0.mlp.down_proj.weight", {24, 40}},
      {"model.layers.0.mlp.gate_proj.weight", {40, 24}},
      {"model.layers.0.mlp.up_proj.weight", {40, 24}},
      {"model.layers.0.post_attention_layernorm.weight", {24}},
      {"model.layers.0.self_attn.k_proj.bias", {12}},
      {"model.layers.0.self_attn.k_proj.weight", {12, 24}},
      {"model.layers.0.self_attn.o_proj.weight", {24, 24}},
      {"model.layers.0.self_attn.q_proj.bias", {24}},
      {"model.layers.0.self_attn.q_proj.weight", {24, 24}},
      {"model.layers.0.self_attn.v_proj.bias", {12}},
      {"model.layers.0.self_attn.v_proj.weight", {12, 24}},
      {"model.mm_projector.0.bias", {24}},
      {"model.mm_projector.0.weight", {24, 16}},
      {"model.mm_projector.2.bias", {24}},
      {"model.mm_projector.2.weight", {24, 24}},
      {"model.norm.weight", {24}},
      {"model.vision_tower.vision_tower.vision_model.embeddings.class_embedding", {16}},
      {"model.vision_tower.vision_tower.vision_model.embeddings.patch_embedding.weight",
       {16, 3, 14, 14}},
      {"model.vision_tower.vision_tower.vision_model.embeddings.position_embedding.weight",
       {5, 16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.layer_norm1.bias", {16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.layer_norm1.weight", {16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.layer_norm2.bias", {16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.layer_norm2.weight", {16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.bias", {32}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", {32, 16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc2.bias", {16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc2.weight", {16, 32}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.self_attn.k_proj.bias", {16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.self_attn.k_proj.weight",
       {16, 16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.self_attn.out_proj.bias",
       {16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.self_attn.out_proj.weight",
       {16, 16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.bias", {16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
       {16, 16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.self_attn.v_proj.bias", {16}},
      {"model.vision_tower.vision_tower.vision_model.encoder.layers.0.self_attn.v_proj.weight",
       {16, 16}},
      {"model.vision_tower.vision_tower.vision_model.post_layernorm.bias", {16}},
      {"model.vision_tower.vision_tower.vision_model.post_layernorm.weight", {16}},
      {"model.vision_tower.vision_tower.vision_model.pre_layrnorm.bias", {16}},
      {"model.vision_tower.vision_tower.vision_model.pre_layrnorm.weight", {16}},
  };
  EXPECT_THAT(parameters_of(config), testing::ContainerEq(expected));
}

TEST(Describe, OneLinearProjectorHasNoNumberInItsName) {
  LlavaConfig config = tiny_config();
  config.projector.type = ProjectorType::kLinear;
  const auto names = parameters_of(config);
  EXPECT_TRUE(names.contains("model.mm_projector.weight"));
  EXPECT_FALSE(names.contains("model.mm_projector.0.weight"));
  config.projector = {.type = ProjectorType::kMlp, .mlp_depth = 1};
  EXPECT_TRUE(parameters_of(config).contains("model.mm_projector.0.weight"));
}

TEST(Describe, LinearLayersAreVisitedByTheirModuleName) {
  LlavaModel model(tiny_config());
  std::vector<std::string> names;
  visit(model, {.on_parameter = {},
                .on_linear = [&](const std::string& name, Linear&) { names.push_back(name); }});
  EXPECT_THAT(names, testing::Contains("model.layers.1.self_attn.q_proj"));
  EXPECT_THAT(names, testing::Contains("lm_head"));
  EXPECT_EQ(names.size(), 2u * 7 + 1 + 2 + 3u * 6);
}

}  // namespace
}  // namespace llava::model
