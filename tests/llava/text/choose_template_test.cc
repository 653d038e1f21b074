// SPDX-License-Identifier: Apache-2.0
#include "llava/text/choose_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "llava/core/error.h"

namespace llava::text {
namespace {

TEST(ChooseTemplate, ModelNameFromPath) {
  EXPECT_EQ(model_name_from_path("liuhaotian/llava-v1.5-7b"), "llava-v1.5-7b");
  EXPECT_EQ(model_name_from_path("//runs/llava-lora/checkpoint-500//"),
            "llava-lora_checkpoint-500");
  EXPECT_EQ(model_name_from_path("checkpoint-5"), "checkpoint-5");
  EXPECT_EQ(model_name_from_path("a/checkpoint-5"), "a_checkpoint-5");
  EXPECT_EQ(model_name_from_path("/"), "");
}

TEST(ChooseTemplate, Program) {
  EXPECT_EQ(template_for_program("LLaVA-Llama-2-13b"), "llava_llama_2");
  EXPECT_EQ(template_for_program("llava-v1.6-mistral-7b"), "mistral_instruct");
  EXPECT_EQ(template_for_program("llava-v1.6-34b"), "chatml_direct");
  EXPECT_EQ(template_for_program("llava-v1.5-7b"), "llava_v1");
  EXPECT_EQ(template_for_program("llava-mpt-7b"), "mpt");
  EXPECT_EQ(template_for_program("opt-350m"), "llava_v0");
}

TEST(ChooseTemplate, Web) {
  EXPECT_EQ(template_for_web("llava-mixtral-hermes"), "chatml_direct");
  EXPECT_EQ(template_for_web("llava-v1-plain"), "v1_mmtag");
  EXPECT_EQ(template_for_web("llava-v1-plain-finetune"), "llava_v1");
  EXPECT_EQ(template_for_web("llava-7b-plain"), "v0_mmtag");
  EXPECT_EQ(template_for_web("llava-7b"), "llava_v0");
  EXPECT_EQ(template_for_web("llama-2-7b"), "llama_2");
  EXPECT_EQ(template_for_web("vicuna"), "vicuna_v1");
  EXPECT_THROW(template_for_web("llava-mistral-orca"), Error);
  EXPECT_THROW(template_for_web("mpt-7b"), Error);
}

TEST(ChooseTemplate, Family) {
  EXPECT_EQ(template_for_family("llama3-llava-next-8b"), "llava_llama_3");
  EXPECT_EQ(template_for_family("llava-onevision-Qwen2-7b"), "qwen_1_5");
  EXPECT_EQ(template_for_family("llava-gemma"), "gemma_instruct");
  EXPECT_EQ(template_for_family("llava-next-34b"), "chatml_direct");
  EXPECT_EQ(template_for_family("llava-mistral-orca"), "mistral_orca");
  EXPECT_EQ(template_for_family("llava-zephyr"), "mistral_zephyr");
  EXPECT_EQ(template_for_family("llava-v1.5-7b"), "llava_v1");
}

}  // namespace
}  // namespace llava::text
