// SPDX-License-Identifier: Apache-2.0
//
// The reference checkpoints beside the repository, where they are present.
#include <gtest/gtest.h>

#include <filesystem>

#include "llava/checkpoint/config_json.h"
#include "llava/checkpoint/generation_config.h"
#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/lora_weights.h"
#include "llava/checkpoint/sharded.h"
#include "llava/checkpoint/vision_tower_folder.h"
#include "support/paths.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;
using model::DecoderFamily;

class PublishedFolders : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(shared())) GTEST_SKIP() << "no reference data at " << shared();
  }
  static fs::path shared() { return source_folder() / ".." / "shared"; }
  static fs::path golden() { return shared() / "golden"; }
};

TEST_F(PublishedFolders, HuggingFaceLlava15) {
  const auto d = read_config(golden() / "hf/models/m1_llava15");
  EXPECT_EQ(d.layout, Layout::kHuggingFace);
  EXPECT_TRUE(d.is_vision_known);
  EXPECT_EQ(d.config.decoder.family, DecoderFamily::kLlama);
  EXPECT_EQ(d.config.decoder.vocab_size, 1344);
  EXPECT_EQ(d.config.decoder.num_key_value_heads, 2);
  EXPECT_EQ(d.config.vision.image_size, 56);
  EXPECT_EQ(d.image_token_id, 1300);
  EXPECT_EQ(d.pad_token_id, 1301);
  EXPECT_EQ(d.bos_token_id, 1);
  EXPECT_EQ(d.eos_token_ids, std::vector<int32_t>{2});
  EXPECT_EQ(d.dtype, DType::kFloat32);
  EXPECT_EQ(d.config.geometry.mode, image::AspectMode::kSquare);

  const auto source =
      rename_source(open_weights(golden() / "hf/models/m1_llava15"), canonical_name);
  for (const char* name :
       {"model.embed_tokens.weight", "lm_head.weight", "model.mm_projector.0.weight",
        "model.mm_projector.2.bias", "model.layers.1.self_attn.q_proj.weight",
        "model.vision_tower.vision_tower.vision_model.pre_layrnorm.weight"}) {
    ASSERT_TRUE(source->tensors().contains(name)) << name;
  }
  const Tensor head = source->load("lm_head.weight");
  EXPECT_EQ(head.shape(), (Shape{1344, 64}));
  for (const auto& [name, info] : source->tensors()) {
    EXPECT_TRUE(name.starts_with("model.") || name.starts_with("lm_head.")) << name;
  }
}

TEST_F(PublishedFolders, HuggingFaceNextMistral) {
  const auto d = read_config(golden() / "hf/models/m2_next_mistral");
  EXPECT_EQ(d.config.decoder.family, DecoderFamily::kMistral);
  EXPECT_EQ(d.config.decoder.head_dim, 24);
  EXPECT_EQ(d.config.decoder.sliding_window, 48);
  EXPECT_DOUBLE_EQ(d.config.decoder.rope.theta, 1e6);
  EXPECT_EQ(d.config.geometry.mode, image::AspectMode::kAnyres);
  EXPECT_EQ(d.config.geometry.rules, image::AnyresRules::kHuggingFace);
  EXPECT_TRUE(d.config.has_image_newline);
  ASSERT_EQ(d.config.geometry.pinpoints.size(), 5u);
  EXPECT_EQ(d.config.geometry.pinpoints[0], (image::ImageSize{112, 56}));
  const auto source =
      rename_source(open_weights(golden() / "hf/models/m2_next_mistral"), canonical_name);
  EXPECT_TRUE(source->tensors().contains("model.image_newline"));
}

TEST_F(PublishedFolders, OriginalLlava16) {
  auto d = read_config(golden() / "orig/o2_llava-v1.6-tiny");
  EXPECT_EQ(d.layout, Layout::kOriginal);
  EXPECT_EQ(d.config.decoder.family, DecoderFamily::kLlama);
  EXPECT_TRUE(d.has_tower_weights);
  EXPECT_FALSE(d.use_im_patch_token);
  EXPECT_EQ(d.tokenizer_model_max_length, 512);
  EXPECT_EQ(d.dtype, DType::kBFloat16);
  const fs::path tower =
      resolve_vision_tower({.name = d.vision_tower, .checkpoint_folder = d.folder});
  attach_vision(d, read_tower_config(tower));
  EXPECT_EQ(d.config.geometry.patches_per_side, 4);
  EXPECT_EQ(d.config.geometry.pinpoints[0], (image::ImageSize{56, 112}));
  EXPECT_TRUE(d.config.geometry.merge.has_unpad);

  const auto source = open_weights(d.folder);
  EXPECT_TRUE(source->tensors().contains("model.image_newline"));
  EXPECT_EQ(source->load("model.image_newline").dtype(), DType::kBFloat16);

  const auto defaults = read_generation_defaults(d.folder);
  EXPECT_EQ(defaults.temperature, 0.9);
  EXPECT_EQ(defaults.top_p, 0.6);
  EXPECT_EQ(defaults.max_length, 1024);
}

TEST_F(PublishedFolders, OriginalLlava15InBinShards) {
  auto d = read_config(golden() / "orig/o1_llava-v1.5-tiny");
  EXPECT_EQ(d.layout, Layout::kOriginal);
  EXPECT_FALSE(d.has_tower_weights);
  EXPECT_EQ(d.dtype, DType::kFloat16);
  EXPECT_EQ(d.config.geometry.mode, image::AspectMode::kPad);
  const auto source = open_weights(d.folder);
  EXPECT_EQ(source->tensors().size(), 34u);
  EXPECT_EQ(source->load("model.mm_projector.2.weight").shape(), (Shape{64, 64}));
  EXPECT_EQ(source->load("lm_head.weight").dtype(), DType::kFloat16);
}

TEST_F(PublishedFolders, OriginalLora) {
  const auto d = read_config(golden() / "orig/o5_llava-v1.5-tiny-lora");
  EXPECT_EQ(d.layout, Layout::kLora);
  const auto adapter = read_adapter_config(d.folder);
  EXPECT_EQ(adapter.base_model, "base_llama-tiny");
  const auto weights = read_lora_weights(d.folder, adapter);
  ASSERT_EQ(weights.pairs.size(), 21u);
  const LoraPair& pair = weights.pairs.at("model.layers.2.mlp.down_proj");
  EXPECT_EQ(pair.a.shape(), (Shape{8, 176}));
  EXPECT_EQ(pair.b.shape(), (Shape{64, 8}));
  EXPECT_EQ(pair.scale, 2.0f);
  const auto others = open_non_lora_trainables(d.folder);
  ASSERT_NE(others, nullptr);
  EXPECT_TRUE(others->tensors().contains("model.mm_projector.0.weight"));
  EXPECT_EQ(read_config(golden() / "orig/base_llama-tiny").layout, Layout::kLanguageModel);
}

TEST_F(PublishedFolders, ProjectorOnlyTraining) {
  const fs::path folder = golden() / "orig/train/stage1/final_asis";
  EXPECT_EQ(read_config(folder).layout, Layout::kProjectorOnly);
  const auto source = open_projector_file(folder);
  EXPECT_EQ(source->tensors().size(), 4u);
  EXPECT_TRUE(source->tensors().contains("model.mm_projector.2.bias"));
}

TEST_F(PublishedFolders, FullClipTower) {
  const auto vision = read_tower_config(golden() / "orig/towers/clip-tiny-42-full");
  EXPECT_EQ(vision.hidden_size, 48);
  EXPECT_EQ(vision.image_size, 42);
  EXPECT_EQ(vision.activation, Activation::kQuickGelu);
  const auto source =
      rename_source(open_weights(golden() / "orig/towers/clip-tiny-42-full"), canonical_tower_name);
  for (const auto& [name, info] : source->tensors()) {
    EXPECT_TRUE(name.starts_with(std::string(kVisionTowerPrefix) + "vision_model.")) << name;
  }
}

TEST_F(PublishedFolders, BundledModel) {
  auto d = read_config(shared() / "models/tiny-llava-smollm2");
  EXPECT_EQ(d.layout, Layout::kLora);
  EXPECT_EQ(d.conv_mode, "qwen_1_5");
  EXPECT_TRUE(d.config.decoder.is_head_tied);
  const fs::path tower =
      resolve_vision_tower({.name = d.vision_tower, .checkpoint_folder = d.folder});
  EXPECT_EQ(fs::weakly_canonical(tower), fs::weakly_canonical(d.folder / "vision_tower"));
  attach_vision(d, read_tower_config(tower));
  EXPECT_EQ(d.config.geometry.tile_size, 64);
  EXPECT_EQ(d.config.vision.num_patches(), 64);
  const auto weights = read_lora_weights(d.folder, read_adapter_config(d.folder));
  EXPECT_EQ(weights.pairs.size(), 210u);
  EXPECT_EQ(weights.pairs.at("model.layers.29.self_attn.k_proj").scale, 1.0f);
}

}  // namespace
}  // namespace llava::checkpoint
