// SPDX-License-Identifier: Apache-2.0
#include "llava/model/config.h"

#include "llava/core/error.h"

namespace llava::model {
namespace {

void expect(bool holds, std::string_view key, int64_t found, std::string_view expected) {
  if (holds) return;
  fail(ErrorCode::kInvalidArgument, "configuration key '{}' is {}, expected {}", key, found,
       expected);
}

void expect_range(std::string_view key, int64_t found, int64_t low, int64_t high) {
  expect(found >= low && found <= high, key, found, fmt::format("{} to {}", low, high));
}

// Bounds far above every published model that keep all products of sizes inside 64 bits.
constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int64_t kMaxLayers = 4096;

void validate_decoder(const DecoderConfig& c) {
  expect_range("vocab_size", c.vocab_size, 1, kMaxVocabulary);
  expect_range("hidden_size", c.hidden_size, 1, kMaxWidth);
  expect_range("intermediate_size", c.intermediate_size, 1, kMaxWidth);
  expect_range("num_hidden_layers", c.num_hidden_layers, 1, kMaxLayers);
  expect_range("num_attention_heads", c.num_attention_heads, 1, kMaxWidth);
  expect_range("num_key_value_heads", c.num_key_value_heads, 1, c.num_attention_heads);
  expect(c.num_attention_heads % c.num_key_value_heads == 0, "num_key_value_heads",
         c.num_key_value_heads,
         fmt::format("a divisor of num_attention_heads {}", c.num_attention_heads));
  expect_range("head_dim", c.head_dim, 2, 4096);
  expect(c.head_dim % 2 == 0, "head_dim", c.head_dim, "an even number");
  expect_range("max_position_embeddings", c.max_position_embeddings, 1, 1 << 30);
  expect_range("sliding_window", c.sliding_window, 0, 1 << 30);
  if (!(c.rms_norm_eps >= 0.0f)) {
    fail(ErrorCode::kInvalidArgument, "configuration key 'rms_norm_eps' is {}, expected at least 0",
         c.rms_norm_eps);
  }
  if (!(c.rope.theta > 0.0)) {
    fail(ErrorCode::kInvalidArgument, "configuration key 'rope_theta' is {}, expected above 0",
         c.rope.theta);
  }
}

void validate_vision(const VisionConfig& c) {
  expect_range("vision hidden_size", c.hidden_size, 1, kMaxWidth);
  expect_range("vision intermediate_size", c.intermediate_size, 1, kMaxWidth);
  expect_range("vision num_hidden_layers", c.num_hidden_layers, 1, kMaxLayers);
  expect_range("vision num_attention_heads", c.num_attention_heads, 1, c.hidden_size);
  expect(c.hidden_size % c.num_attention_heads == 0, "vision num_attention_heads",
         c.num_attention_heads, fmt::format("a divisor of hidden_size {}", c.hidden_size));
  expect(c.num_channels == 3, "vision num_channels", c.num_channels, "3");
  expect_range("vision patch_size", c.patch_size, 1, 4096);
  expect_range("vision image_size", c.image_size, c.patch_size, 16384);
}

}  // namespace

void validate(const LlavaConfig& config) {
  validate_decoder(config.decoder);
  if (!config.has_vision) return;
  validate_vision(config.vision);
  expect_range("mlp depth of the projector", config.projector.mlp_depth, 1, 64);
  expect(!config.vision_feature_layers.empty(), "vision_feature_layer", 0, "at least one layer");
  for (const int32_t layer : config.vision_feature_layers) {
    expect_range("vision_feature_layer", layer, -config.vision.num_hidden_layers - 1,
                 config.vision.num_hidden_layers);
  }
  const int64_t width = static_cast<int64_t>(config.vision.hidden_size) *
                        static_cast<int64_t>(config.vision_feature_layers.size());
  if (config.projector.type == ProjectorType::kIdentity) {
    expect(width == config.decoder.hidden_size, "hidden_size", config.decoder.hidden_size,
           fmt::format("{}, the width of the vision features, because the projector is identity",
                       width));
  }
}

}  // namespace llava::model
