// SPDX-License-Identifier: Apache-2.0
#include "llava/model/config.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "llava/core/error.h"
#include "llava/model/presets.h"
#include "llava/model/vision_tower.h"
#include "random_model.h"

namespace llava::model {
namespace {

TEST(Validate, AcceptsThePublishedShapes) {
  EXPECT_NO_THROW(validate(llava_15_7b()));
  EXPECT_NO_THROW(validate(llava_15_13b()));
  EXPECT_NO_THROW(validate(llava_16_mistral_7b()));
  EXPECT_EQ(llava_15_7b().vision.num_patches(), 576);
  EXPECT_FALSE(published_vision_tower("google/siglip-so400m-patch14-384").has_value());
}

TEST(Validate, NamesTheKeyThatCannotBe) {
  const std::pair<const char*, std::function<void(LlavaConfig&)>> kCases[] = {
      {"vocab_size", [](LlavaConfig& c) { c.decoder.vocab_size = 0; }},
      {"hidden_size", [](LlavaConfig& c) { c.decoder.hidden_size = -1; }},
      {"num_hidden_layers", [](LlavaConfig& c) { c.decoder.num_hidden_layers = 1 << 20; }},
      {"num_key_value_heads", [](LlavaConfig& c) { c.decoder.num_key_value_heads = 3; }},
      {"head_dim", [](LlavaConfig& c) { c.decoder.head_dim = 7; }},
      {"rope_theta", [](LlavaConfig& c) { c.decoder.rope.theta = 0; }},
      {"rms_norm_eps", [](LlavaConfig& c) { c.decoder.rms_norm_eps = -1; }},
      {"num_attention_heads", [](LlavaConfig& c) { c.vision.num_attention_heads = 3; }},
      {"image_size", [](LlavaConfig& c) { c.vision.image_size = 7; }},
      {"vision_feature_layer", [](LlavaConfig& c) { c.vision_feature_layers = {4}; }},
      {"identity", [](LlavaConfig& c) { c.projector.type = ProjectorType::kIdentity; }},
  };
  for (const auto& [key, damage] : kCases) {
    LlavaConfig config = tiny_config();
    damage(config);
    try {
      validate(config);
      ADD_FAILURE() << key << " was accepted";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
    }
  }
}

TEST(ResolveFeatureLayer, CountsFromEitherEnd) {
  EXPECT_EQ(resolve_feature_layer(-2, 24), 23);
  EXPECT_EQ(resolve_feature_layer(-1, 24), 24);
  EXPECT_EQ(resolve_feature_layer(0, 24), 0);
  EXPECT_EQ(resolve_feature_layer(-25, 24), 0);
  EXPECT_THROW(resolve_feature_layer(25, 24), Error);
  EXPECT_THROW(resolve_feature_layer(-26, 24), Error);
}

}  // namespace
}  // namespace llava::model
