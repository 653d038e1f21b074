// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/key_names.h"

#include <gtest/gtest.h>

#include "llava/checkpoint/expect_error.h"

namespace llava::checkpoint {
namespace {

using llava::testing::expect_error;

// A source of names only.
class NameSource final : public TensorSource {
 public:
  explicit NameSource(const std::vector<std::string>& names) {
    for (const std::string& name : names) {
      tensors_[name] = {.name = name, .shape = {1}, .file = "names.bin"};
    }
  }
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  Tensor load(const std::string& name) const override {
    return Tensor::from_floats({1}, std::vector<float>{static_cast<float>(name.size())});
  }

 private:
  std::map<std::string, TensorInfo> tensors_;
};

std::shared_ptr<const TensorSource> names(const std::vector<std::string>& list) {
  return std::make_shared<const NameSource>(list);
}

TEST(KeyNames, AllThreeSpellingsMeanTheOriginalName) {
  struct Row {
    const char* original;
    const char* classic;
    const char* nested;
  };
  const std::vector<Row> rows = {
      {"model.embed_tokens.weight", "language_model.model.embed_tokens.weight",
       "model.language_model.embed_tokens.weight"},
      {"model.layers.3.self_attn.q_proj.bias",
       "language_model.model.layers.3.self_attn.q_proj.bias",
       "model.language_model.layers.3.self_attn.q_proj.bias"},
      {"model.norm.weight", "language_model.model.norm.weight", "model.language_model.norm.weight"},
      {"lm_head.weight", "language_model.lm_head.weight", "lm_head.weight"},
      {"model.vision_tower.vision_tower.vision_model.pre_layrnorm.bias",
       "vision_tower.vision_model.pre_layrnorm.bias",
       "model.vision_tower.vision_model.pre_layrnorm.bias"},
      {"model.mm_projector.0.weight", "multi_modal_projector.linear_1.weight",
       "model.multi_modal_projector.linear_1.weight"},
      {"model.mm_projector.2.bias", "multi_modal_projector.linear_2.bias",
       "model.multi_modal_projector.linear_2.bias"},
      {"model.image_newline", "image_newline", "model.image_newline"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(canonical_name(row.original), row.original);
    EXPECT_EQ(canonical_name(row.classic), row.original);
    EXPECT_EQ(canonical_name(row.nested), row.original);
    EXPECT_EQ(hugging_face_name(row.original), row.classic);
  }
  EXPECT_EQ(canonical_name("something.else"), "something.else");
}

TEST(KeyNames, TowerRepositories) {
  EXPECT_EQ(canonical_tower_name("vision_model.post_layernorm.weight"),
            "model.vision_tower.vision_tower.vision_model.post_layernorm.weight");
  for (const char* other : {"text_model.encoder.layers.0.x", "logit_scale",
                            "visual_projection.weight", "text_projection.weight"}) {
    EXPECT_EQ(canonical_tower_name(other), std::nullopt) << other;
  }
}

TEST(KeyNames, ProjectorFiles) {
  EXPECT_EQ(canonical_projector_file_name("model.mm_projector.weight"),
            "model.mm_projector.weight");
  EXPECT_EQ(canonical_projector_file_name("base_model.model.model.mm_projector.0.bias"),
            "model.mm_projector.0.bias");
  EXPECT_EQ(canonical_projector_file_name("x.mm_projector.mm_projector.2.bias"),
            "model.mm_projector.mm_projector.2.bias");
  EXPECT_EQ(canonical_projector_file_name("model.embed_tokens.weight"),
            "model.embed_tokens.weight");
  EXPECT_EQ(canonical_projector_file_name("model.image_newline"), "model.image_newline");
  EXPECT_EQ(canonical_projector_file_name("lm_head.weight"), std::nullopt);
}

TEST(KeyNames, RenamedSources) {
  const auto source = rename_source(names({"language_model.lm_head.weight", "image_newline",
                                           "model.layers.0.self_attn.rotary_emb.inv_freq",
                                           "vision_tower.vision_model.embeddings.position_ids"}),
                                    canonical_name);
  ASSERT_EQ(source->tensors().size(), 2u);
  EXPECT_EQ(source->tensors().at("lm_head.weight").name, "lm_head.weight");
  EXPECT_EQ(source->load("lm_head.weight").data<float>()[0], 29.0f);
  expect_error(ErrorCode::kNotFound, {"'image_newline'"}, [&] { source->load("image_newline"); });
  expect_error(ErrorCode::kBadFormat, {"names.bin", "'lm_head.weight'"}, [&] {
    rename_source(names({"lm_head.weight", "language_model.lm_head.weight"}), canonical_name);
  });
}

TEST(KeyNames, RefusesFilesQuantisedWhenSaved) {
  refuse_quantized_keys(*names({"model.norm.weight"}), "x");
  for (const char* key : {"model.layers.0.mlp.up_proj.SCB", "a.weight.absmax", "a.weight.quant_map",
                          "a.weight.quant_state.bitsandbytes__nf4", "a.qweight", "a.qzeros"}) {
    expect_error(ErrorCode::kUnsupported, {"folder", key},
                 [&] { refuse_quantized_keys(*names({key}), "folder"); });
  }
}

}  // namespace
}  // namespace llava::checkpoint
