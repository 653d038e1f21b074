// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/lora_weights.h"

#include <gtest/gtest.h>

#include <cmath>

#include "llava/checkpoint/expect_error.h"
#include "llava/checkpoint/safetensors.h"
#include "llava/core/json.h"
#include "support/temporary_folder.h"

namespace llava::checkpoint {
namespace {

using llava::testing::expect_error;

AdapterConfig config(std::string_view text) {
  const Json json = parse_json(text, "adapter_config.json");
  return read_adapter_config(json, "adapter_config.json");
}

TEST(AdapterConfigTest, ReadsWhatPeftWrites) {
  const auto c = config(R"({"peft_type":"LORA","r":16,"lora_alpha":32,"target_modules":["q_proj"],
      "modules_to_save":null,"bias":"none","base_model_name_or_path":"base","lora_dropout":0.1,
      "rank_pattern":{"v_proj":4,"^model.layers.0.mlp.up_proj":2},"alpha_pattern":{"v_proj":8}})");
  EXPECT_EQ(c.target_modules, std::vector<std::string>{"q_proj"});
  EXPECT_EQ(c.base_model, "base");
  EXPECT_EQ(c.rank_of("model.layers.0.self_attn.q_proj"), 16);
  EXPECT_EQ(c.scale_of("model.layers.0.self_attn.q_proj"), 2.0);
  EXPECT_EQ(c.rank_of("model.layers.0.self_attn.v_proj"), 4);
  EXPECT_EQ(c.scale_of("model.layers.0.self_attn.v_proj"), 2.0);
  EXPECT_EQ(c.rank_of("model.layers.0.mlp.up_proj"), 2);
  EXPECT_EQ(c.rank_of("model.layers.10.mlp.up_proj"), 16);
  EXPECT_EQ(c.rank_of("model.layers.0.self_attn.xv_proj"), 16);
  EXPECT_EQ(config(R"({"target_modules":".*_proj"})").target_pattern, ".*_proj");
  const auto rslora = config(R"({"r":16,"lora_alpha":32,"use_rslora":true})");
  EXPECT_EQ(rslora.scale_of("x"), 8.0);
}

TEST(AdapterConfigTest, RefusesOtherAdapters) {
  const ErrorCode unsupported = ErrorCode::kUnsupported;
  expect_error(unsupported, {"IA3"}, [] { config(R"({"peft_type":"IA3"})"); });
  expect_error(unsupported, {"use_dora"}, [] { config(R"({"use_dora":true})"); });
  expect_error(unsupported, {"layer_replication"},
               [] { config(R"({"layer_replication":[[0,2]]})"); });
  expect_error(unsupported, {"rank_pattern", ".*q"},
               [] { config(R"({"rank_pattern":{".*q":4}})"); });
  expect_error(ErrorCode::kBadFormat, {"'r'"}, [] { config(R"({"r":0})"); });
  expect_error(ErrorCode::kBadFormat, {"'bias'"}, [] { config(R"({"bias":"some"})"); });
  expect_error(ErrorCode::kBadFormat, {"rank_pattern"}, [] { config(R"({"rank_pattern":[1]})"); });
}

class LoraWeightsTest : public llava::testing::TemporaryFolder {
 protected:
  using Tensors = std::vector<std::pair<std::string, Tensor>>;

  static Tensor zeros(Shape shape) { return Tensor::zeros(std::move(shape), DType::kFloat32); }
  LoraWeights read(const Tensors& tensors, std::string_view adapter = R"({"r":2,"lora_alpha":4})") {
    write_safetensors(folder_ / "adapter_model.safetensors", tensors);
    return read_lora_weights(folder_, config(adapter));
  }
};

constexpr const char* kModule = "base_model.model.model.layers.0.self_attn.q_proj";

TEST_F(LoraWeightsTest, PairsTheHalves) {
  const std::string m = kModule;
  for (const std::string infix : {"", "default."}) {
    const auto weights = read({{m + ".lora_A." + infix + "weight", zeros({2, 5})},
                               {m + ".lora_B." + infix + "weight", zeros({3, 2})}});
    ASSERT_EQ(weights.pairs.size(), 1u);
    const LoraPair& pair = weights.pairs.at("model.layers.0.self_attn.q_proj");
    EXPECT_EQ(pair.a.shape(), (Shape{2, 5}));
    EXPECT_EQ(pair.b.shape(), (Shape{3, 2}));
    EXPECT_EQ(pair.scale, 2.0f);
    EXPECT_TRUE(weights.replacements.empty());
  }
}

TEST_F(LoraWeightsTest, SavedModulesReplaceTheBase) {
  const std::string adapter = R"({"r":2,"modules_to_save":["embed_tokens","lm_head"]})";
  const auto weights =
      read({{"base_model.model.lm_head.weight", zeros({7, 3})},
            {"base_model.model.model.embed_tokens.modules_to_save.default.weight", zeros({7, 3})}},
           adapter);
  EXPECT_TRUE(weights.replacements.contains("lm_head.weight"));
  EXPECT_TRUE(weights.replacements.contains("model.embed_tokens.weight"));
  EXPECT_TRUE(weights.pairs.empty());
  const auto biases = read({{std::string(kModule) + ".bias", zeros({3})}}, R"({"bias":"all"})");
  EXPECT_TRUE(biases.replacements.contains("model.layers.0.self_attn.q_proj.bias"));
}

TEST_F(LoraWeightsTest, EveryKeyMustMeanSomething) {
  const std::string m = kModule;
  const ErrorCode bad = ErrorCode::kBadFormat;
  const auto a = [&](Shape shape) { return std::pair(m + ".lora_A.weight", zeros(shape)); };
  const auto b = [&](Shape shape) { return std::pair(m + ".lora_B.weight", zeros(shape)); };
  expect_error(bad, {"q_proj", "lora_A but no lora_B"}, [&] { read({a({2, 5})}); });
  expect_error(bad, {"q_proj", "lora_B but no lora_A"}, [&] { read({b({3, 2})}); });
  expect_error(bad, {"[4, 5]", "[2, in]"}, [&] { read({a({4, 5}), b({3, 4})}); });
  expect_error(bad, {"[3, 3]"}, [&] { read({a({2, 5}), b({3, 3})}); });
  expect_error(bad, {"[2]"}, [&] { read({a({2}), b({3, 2})}); });
  expect_error(bad, {"mystery"}, [&] { read({a({2, 5}), b({3, 2}), {"mystery", zeros({1})}}); });
  expect_error(bad, {"lm_head.weight"}, [&] { read({{"lm_head.weight", zeros({1})}}); });
  expect_error(bad, {"q_proj.bias"}, [&] { read({{m + ".bias", zeros({1})}}); });
  expect_error(bad, {"q_proj.lora_A", "the same parameter"}, [&] {
    read({a({2, 5}), b({3, 2}), {m + ".lora_A.default.weight", zeros({2, 5})}});
  });
  expect_error(ErrorCode::kUnsupported, {"lora_magnitude_vector"}, [&] {
    read({{m + ".lora_magnitude_vector", zeros({1})}});
  });
  expect_error(ErrorCode::kUnsupported, {"lora_embedding_A"}, [&] {
    read({{m + ".lora_embedding_A", zeros({1})}});
  });
  std::filesystem::remove(folder_ / "adapter_model.safetensors");
  expect_error(ErrorCode::kNotFound, {"adapter_model.bin"},
               [&] { read_lora_weights(folder_, AdapterConfig{}); });
}

TEST_F(LoraWeightsTest, NonLoraNamesLoseTheirWrapping) {
  const auto normalized = [&](const std::vector<std::string>& keys) {
    Tensors tensors;
    for (const std::string& key : keys) tensors.emplace_back(key, zeros({1}));
    write_safetensors(folder_ / "non_lora_trainables.bin", tensors);
    std::vector<std::string> names;
    const auto source = open_non_lora_trainables(folder_);
    for (const auto& [name, info] : source->tensors()) {
      names.push_back(name);
    }
    return names;
  };
  EXPECT_EQ(open_non_lora_trainables(folder_), nullptr);
  using Names = std::vector<std::string>;
  EXPECT_EQ(normalized({"base_model.model.model.mm_projector.0.weight"}),
            Names{"model.mm_projector.0.weight"});
  EXPECT_EQ(normalized({"base_model.model.model.mm_projector.0.weight",
                        "base_model.model.lm_head.weight"}),
            (Names{"lm_head.weight", "model.mm_projector.0.weight"}));
  EXPECT_EQ(normalized({"model.mm_projector.0.weight", "lm_head.weight"}),
            (Names{"lm_head.weight", "model.mm_projector.0.weight"}));
  EXPECT_EQ(normalized({"base_model.model.mm_projector.0.weight"}),
            Names{"model.mm_projector.0.weight"});
}

TEST_F(LoraWeightsTest, ProjectorFiles) {
  write_safetensors(folder_ / "mm_projector.bin", {{"a.b.mm_projector.0.weight", zeros({1})},
                                                   {"model.embed_tokens.weight", zeros({2, 1})},
                                                   {"other", zeros({1})}});
  const auto source = open_projector_file(folder_);
  ASSERT_EQ(source->tensors().size(), 2u);
  EXPECT_TRUE(source->tensors().contains("model.mm_projector.0.weight"));
  EXPECT_TRUE(source->tensors().contains("model.embed_tokens.weight"));
  write_safetensors(folder_ / "mm_projector.bin", {{"other", zeros({1})}});
  expect_error(ErrorCode::kBadFormat, {"mm_projector.bin", "no projector"},
               [&] { open_projector_file(folder_); });
}

}  // namespace
}  // namespace llava::checkpoint
