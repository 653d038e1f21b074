// SPDX-License-Identifier: Apache-2.0
#include "llava/train/train_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace llava::train {
namespace {

TrainConfig sound() {
  TrainConfig config;
  config.run.output_dir = "out";
  config.data.data_path = "data.json";
  config.model.vision_tower = "tower";
  return config;
}

TEST(TrainConfigTest, ContradictionsAreNamed) {
  const struct {
    std::function<void(TrainConfig&)> change;
    const char* flag;
  } cases[] = {
      {[](TrainConfig& c) { c.run.output_dir.clear(); }, "--output-dir"},
      {[](TrainConfig& c) { c.data.data_path.clear(); }, "--data-path"},
      {[](TrainConfig& c) { c.optimization.bf16 = c.optimization.fp16 = true; }, "--fp16"},
      {[](TrainConfig& c) {
         c.model.tune_mm_mlp_adapter = true;
         c.model.vision_tower.clear();
       },
       "--vision-tower"},
      {[](TrainConfig& c) { c.model.tune_mm_mlp_adapter = c.lora.lora_enable = true; },
       "--lora-enable"},
      {[](TrainConfig& c) { c.lora.lora_weight_path.assign("adapter"); }, "--lora-enable"},
      {[](TrainConfig& c) { c.run.evaluation_strategy.assign("steps"); }, "--eval-data-path"},
  };
  validate(sound());
  for (const auto& [change, flag] : cases) {
    TrainConfig config = sound();
    change(config);
    try {
      validate(config);
      ADD_FAILURE() << flag;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(e.what(), ::testing::HasSubstr(flag));
    }
  }
}

}  // namespace
}  // namespace llava::train
