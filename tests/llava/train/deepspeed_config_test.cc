// SPDX-License-Identifier: Apache-2.0
#include "llava/train/deepspeed_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llava/core/json.h"

namespace llava::train {
namespace {

using ::testing::HasSubstr;

// The keys of the published zero2.json, zero3.json and zero3_offload.json.
constexpr const char* kZero2 = R"({
  "fp16": {"enabled": "auto", "loss_scale": 0, "loss_scale_window": 1000, "initial_scale_power": 16, "hysteresis": 2, "min_loss_scale": 1},
  "bf16": {"enabled": "auto"},
  "train_micro_batch_size_per_gpu": "auto", "train_batch_size": "auto", "gradient_accumulation_steps": "auto",
  "zero_optimization": {"stage": 2, "overlap_comm": true, "contiguous_gradients": true, "sub_group_size": 1e9, "reduce_bucket_size": "auto"}})";
constexpr const char* kOffload = R"({
  "bf16": {"enabled": "auto"},
  "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto", "eps": "auto", "weight_decay": "auto"}},
  "scheduler": {"type": "WarmupLR", "params": {"warmup_min_lr": "auto", "warmup_max_lr": "auto", "warmup_num_steps": "auto"}},
  "zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu", "pin_memory": true}, "offload_param": {"device": "cpu"}},
  "gradient_accumulation_steps": "auto", "gradient_clipping": "auto", "steps_per_print": 1e5, "train_batch_size": "auto"})";

DeepSpeedConfig read(const std::string& text, const TrainConfig& config = {}) {
  return read_deepspeed_config(parse_json(text, "zero.json"), "zero.json", config, {});
}

TEST(DeepSpeedConfigTest, ThePublishedFilesClipOnlyWhereTheySaySo) {
  const DeepSpeedConfig zero2 = read(kZero2);
  EXPECT_TRUE(zero2.is_given);
  EXPECT_EQ(zero2.zero_stage, 2);
  EXPECT_FALSE(zero2.clipping);
  EXPECT_FALSE(zero2.has_warmup_scheduler);
  const DeepSpeedConfig offload = read(kOffload);
  EXPECT_EQ(offload.zero_stage, 3);
  EXPECT_TRUE(offload.offloads);
  EXPECT_EQ(offload.clipping, 1.0);
  EXPECT_TRUE(offload.has_optimizer);
  EXPECT_TRUE(offload.has_warmup_scheduler);
}

TEST(DeepSpeedConfigTest, ListsEveryDisagreement) {
  TrainConfig config;
  config.optimization.per_device_train_batch_size = 16;
  config.optimization.bf16 = true;
  try {
    read(
        R"({"train_micro_batch_size_per_gpu": 8, "train_batch_size": 16, "bf16": {"enabled": false}, "gradient_clipping": 2.0})",
        config);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    EXPECT_THAT(e.what(), HasSubstr("train_micro_batch_size_per_gpu is 8"));
    EXPECT_THAT(e.what(), HasSubstr("bf16.enabled is false"));
    EXPECT_THAT(e.what(), HasSubstr("gradient_clipping is 2.0"));
    EXPECT_THAT(e.what(), ::testing::Not(HasSubstr("train_batch_size is 16")));
  }
}

TEST(DeepSpeedConfigTest, RefusesWhatIsNotBuilt) {
  EXPECT_THROW(read(R"({"scheduler": {"type": "OneCycle"}})"), Error);
  EXPECT_THROW(read(R"({"optimizer": {"type": "Lamb"}})"), Error);
  EXPECT_THROW(read(R"({"zero_optimization": {"stage": 4}})"), Error);
  EXPECT_THROW(read(R"([])"), Error);
}

}  // namespace
}  // namespace llava::train
