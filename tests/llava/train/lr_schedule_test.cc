// SPDX-License-Identifier: Apache-2.0
#include "llava/train/lr_schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "llava/core/error.h"

namespace llava::train {
namespace {

// Rates that public logs of LLaVA-1.5's runs show; transformers' formula gives the rest.
TEST(LrScheduleTest, CosineIsThePublishedOne) {
  const LrSchedule finetune("cosine", 5198, 156, 2e-5);
  EXPECT_DOUBLE_EQ(2e-5 * finetune.factor(0), 0.0);
  EXPECT_DOUBLE_EQ(2e-5 * finetune.factor(1), 1.282051282051282e-07);
  EXPECT_DOUBLE_EQ(2e-5 * finetune.factor(22), 2.8205128205128207e-06);
  EXPECT_DOUBLE_EQ(2e-5 * finetune.factor(155), 1.9871794871794873e-05);
  EXPECT_DOUBLE_EQ(2e-5 * finetune.factor(156), 2e-05);
  EXPECT_DOUBLE_EQ(2e-5 * finetune.factor(157), 1.9999998058827844e-05);
  EXPECT_DOUBLE_EQ(2e-5 * finetune.factor(1000), 1.864880822824452e-05);
  EXPECT_DOUBLE_EQ(2e-5 * finetune.factor(2677), 1e-05);
  EXPECT_DOUBLE_EQ(2e-5 * finetune.factor(5197), 1.9411721552398123e-12);
  EXPECT_DOUBLE_EQ(2e-5 * finetune.factor(5198), 0.0);
  const LrSchedule pretrain("cosine", 2181, 66, 1e-3);
  EXPECT_DOUBLE_EQ(1e-3 * pretrain.factor(65), 0.000984848484848485);
  EXPECT_DOUBLE_EQ(1e-3 * pretrain.factor(67), 0.0009999994484067654);
  EXPECT_DOUBLE_EQ(1e-3 * pretrain.factor(1000), 0.0005912090432787736);
  EXPECT_DOUBLE_EQ(1e-3 * pretrain.factor(2180), 5.515932345323549e-10);
}

TEST(LrScheduleTest, OthersFollowTheirFormulas) {
  EXPECT_DOUBLE_EQ(LrSchedule("linear", 10, 2, 1).factor(1), 0.5);
  EXPECT_DOUBLE_EQ(LrSchedule("linear", 10, 2, 1).factor(6), 0.5);
  EXPECT_DOUBLE_EQ(LrSchedule("linear", 10, 2, 1).factor(12), 0.0);
  EXPECT_DOUBLE_EQ(LrSchedule("constant", 10, 2, 1).factor(0), 1.0);
  EXPECT_DOUBLE_EQ(LrSchedule("constant_with_warmup", 10, 4, 1).factor(1), 0.25);
  EXPECT_DOUBLE_EQ(LrSchedule("constant_with_warmup", 10, 4, 1).factor(9), 1.0);
  EXPECT_DOUBLE_EQ(LrSchedule("polynomial", 10, 0, 1e-3).factor(10), 1e-7 / 1e-3);
  EXPECT_NEAR(1e-3 * LrSchedule("polynomial", 10, 0, 1e-3).factor(5), 1e-7 + 0.5 * (1e-3 - 1e-7),
              1e-18);
  EXPECT_DOUBLE_EQ(LrSchedule("inverse_sqrt", 100, 4, 1).factor(16), 0.5);
  EXPECT_DOUBLE_EQ(LrSchedule("cosine_with_restarts", 10, 0, 1).factor(10), 0.0);
  EXPECT_DOUBLE_EQ(LrSchedule("cosine_with_restarts", 10, 0, 1).factor(5),
                   LrSchedule("cosine", 10, 0, 1).factor(5));
  EXPECT_THROW(LrSchedule("triangular", 10, 0, 1), Error);
}

// The published zero3_offload.json: full rate, then a logarithmic warm-up, then full rate for good.
TEST(LrScheduleTest, DeepSpeedsWarmUp) {
  const LrSchedule schedule("deepspeed_warmup", 1000, 10, 1);
  EXPECT_DOUBLE_EQ(schedule.factor(0), 1.0);
  EXPECT_DOUBLE_EQ(schedule.factor(1), 0.0);
  EXPECT_DOUBLE_EQ(schedule.factor(5), std::log(5.0) / std::log(10.0));
  EXPECT_DOUBLE_EQ(schedule.factor(10), 1.0);
  EXPECT_DOUBLE_EQ(schedule.factor(11), 1.0);
}

// The step counts of the published recipes on eight GPUs.
TEST(LrScheduleTest, StepsOfThePublishedRecipes) {
  const StepPlan pretrain = plan_steps(2181, 1, 1.0, -1, 0.03, 0);
  EXPECT_EQ(pretrain.num_steps, 2181);
  EXPECT_EQ(pretrain.num_warmup_steps, 66);
  const StepPlan finetune = plan_steps(5198, 1, 1.0, -1, 0.03, 0);
  EXPECT_EQ(finetune.num_steps, 5198);
  EXPECT_EQ(finetune.num_warmup_steps, 156);
  const StepPlan xformers = plan_steps(17442, 4, 1.0, -1, 0.03, 0);
  EXPECT_EQ(xformers.num_steps, 4360);
  EXPECT_EQ(xformers.num_warmup_steps, 131);
  const StepPlan science = plan_steps(100, 1, 12.0, -1, 0.03, 0);
  EXPECT_EQ(science.num_steps, 1200);
  EXPECT_EQ(science.num_warmup_steps, 36);
  EXPECT_EQ(plan_steps(2, 4, 1.5, -1, 0.0, 3).num_steps, 2);
  EXPECT_EQ(plan_steps(2, 4, 1.5, 9, 0.5, 3).num_warmup_steps, 3);
}

}  // namespace
}  // namespace llava::train
