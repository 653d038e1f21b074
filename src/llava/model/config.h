// SPDX-License-Identifier: Apache-2.0
//
// The shape of a LLaVA: decoder, vision tower, projector and how they are joined. The structs
// mirror the published config.json; checkpoint/config_json.h reads it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "llava/image/layout.h"
#include "llava/tensor/backend.h"

namespace llava::model {

enum class DecoderFamily : uint8_t { kLlama, kMistral, kQwen2 };
enum class RopeScaling : uint8_t { kNone, kLinear, kDynamic, kLlama3 };

/// Rotary position embedding and its published extensions.
struct RopeConfig {
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int32_t original_max_position_embeddings = 0;
};

/// The language model.
struct DecoderConfig {
  DecoderFamily family = DecoderFamily::kLlama;
  int32_t vocab_size = 32000;
  int32_t hidden_size = 4096;
  int32_t intermediate_size = 11008;
  int32_t num_hidden_layers = 32;
  int32_t num_attention_heads = 32;
  int32_t num_key_value_heads = 32;
  int32_t head_dim = 128;
  int32_t max_position_embeddings = 2048;
  float rms_norm_eps = 1e-6f;
  RopeConfig rope;
  bool has_qkv_bias = false;
  bool has_output_bias = false;  ///< bias of o_proj (attention_bias of LLaMA)
  bool is_head_tied = false;
  int32_t sliding_window = 0;  ///< 0: none
};

/// A CLIP-shaped vision transformer.
struct VisionConfig {
  int32_t hidden_size = 768;
  int32_t intermediate_size = 3072;
  int32_t num_hidden_layers = 12;
  int32_t num_attention_heads = 12;
  int32_t num_channels = 3;
  int32_t image_size = 224;
  int32_t patch_size = 32;
  float layer_norm_eps = 1e-5f;
  Activation activation = Activation::kQuickGelu;

  int32_t patches_per_side() const { return image_size / patch_size; }
  int32_t num_patches() const { return patches_per_side() * patches_per_side(); }
};

enum class ProjectorType : uint8_t { kIdentity, kLinear, kMlp };

/// What maps vision features into the decoder's embedding space.
struct ProjectorConfig {
  ProjectorType type = ProjectorType::kLinear;
  int32_t mlp_depth = 2;  ///< number of linear layers of kMlp
  bool has_bias = true;
  Activation activation = Activation::kGelu;
};

/// The whole model, as one published checkpoint describes it.
struct LlavaConfig {
  DecoderConfig decoder;
  bool has_vision = true;
  VisionConfig vision;
  ProjectorConfig projector;
  /// Hidden states to take features from, as published: negative counts from the end, 0 is the
  /// embeddings; several are concatenated on the channel axis.
  std::vector<int32_t> vision_feature_layers = {-2};
  /// Geometry of pictures; its mode may be overridden per request.
  image::ImageGeometry geometry;
  bool has_image_newline = false;
};

/// Names the first thing in `config` that cannot be.
///
/// Throws: Error(kInvalidArgument) naming key, value and what was expected.
void validate(const LlavaConfig& config);

}  // namespace llava::model
