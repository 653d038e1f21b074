// SPDX-License-Identifier: Apache-2.0
#include "llava/train/run_config.h"

#include <gtest/gtest.h>

#include "llava/core/json.h"

namespace llava::train {
namespace {

TrainConfig multimodal() {
  TrainConfig config;
  config.model.vision_tower = "towers/clip";
  config.model.mm_projector_type = "mlp2x_gelu";
  config.model.mm_vision_select_layer = -2;
  config.optimization.model_max_length = 256;
  return config;
}

TEST(RunConfigTest, AddsTheKeysOfTheOriginal) {
  const Json config =
      make_run_config({{"model_type", "llama"}, {"hidden_size", 64}}, multimodal(), 48, "base");
  EXPECT_EQ(config["model_type"], "llava_llama");
  EXPECT_EQ(config["hidden_size"], 64);
  EXPECT_EQ(config["mm_vision_tower"], "towers/clip");
  EXPECT_EQ(config["mm_hidden_size"], 48);
  EXPECT_EQ(config["mm_vision_select_layer"], -2);
  EXPECT_EQ(config["tokenizer_model_max_length"], 256);
  EXPECT_TRUE(config["mm_projector_lr"].is_null());
  EXPECT_EQ(config["use_mm_proj"], true);
}

TEST(RunConfigTest, ALanguageModelStaysAsItIs) {
  const Json base = {{"model_type", "llama"}};
  EXPECT_EQ(make_run_config(base, TrainConfig(), 0, "base"), base);
}

TEST(RunConfigTest, AnotherProjectorThanTheBaseHasIsRefused) {
  const Json base = {
      {"model_type", "llava_llama"}, {"mm_vision_tower", "t"}, {"mm_projector_type", "linear"}};
  EXPECT_THROW(make_run_config(base, multimodal(), 48, "base"), Error);
  TrainConfig reference = multimodal();
  reference.run.compat = "reference";
  EXPECT_EQ(make_run_config(base, reference, 48, "base")["mm_projector_type"], "mlp2x_gelu");
}

TEST(RunConfigTest, FamiliesWithoutALlavaAreRefused) {
  EXPECT_THROW(make_run_config({{"model_type", "gpt2"}}, multimodal(), 48, "base"), Error);
}

}  // namespace
}  // namespace llava::train
