// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/config_layouts.h"
#include "llava/checkpoint/config_values.h"
#include "llava/core/error.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;
using model::DecoderFamily;
using model::LlavaConfig;
using model::ProjectorType;
using model::VisionConfig;

DecoderFamily text_family(const JsonObject& text) {
  const std::string type = text.get_string("model_type").value_or("llama");
  if (type == "llama") return DecoderFamily::kLlama;
  if (type == "mistral") return DecoderFamily::kMistral;
  if (type == "qwen2") return DecoderFamily::kQwen2;
  fail(ErrorCode::kUnsupported,
       "{}: the language model's model_type is '{}'; supported are llama, mistral and qwen2",
       text.source(), type);
}

// LLaVA-1.5's tower, when vision_config is absent altogether.
VisionConfig vit_l_14_336() {
  return {.hidden_size = 1024,
          .intermediate_size = 4096,
          .num_hidden_layers = 24,
          .num_attention_heads = 16,
          .image_size = 336,
          .patch_size = 14};
}

void read_hugging_face_geometry(const JsonObject& config, bool is_next,
                                CheckpointDescription& description) {
  LlavaConfig& c = description.config;
  c.geometry.rules = image::AnyresRules::kHuggingFace;
  const std::string strategy =
      config.get_string("vision_feature_select_strategy").value_or("default");
  if (strategy != "default" && strategy != "full") {
    fail(ErrorCode::kUnsupported,
         "{}: vision_feature_select_strategy is '{}'; supported are default and full",
         config.source(), strategy);
  }
  c.geometry.has_class_token = strategy == "full";
  c.geometry.mode = is_next ? image::AspectMode::kAnyres : image::AspectMode::kSquare;
  if (!is_next) return;
  c.geometry.merge = {.is_spatial = true, .has_unpad = true};
  c.has_image_newline = true;
  c.geometry.pinpoints = {{672, 336}, {336, 672}, {672, 672}, {336, 1008}, {1008, 336}};
  if (config.has("image_grid_pinpoints")) {
    Pinpoints pinpoints = read_pinpoints(config, "image_grid_pinpoints", true);
    if (pinpoints.in_tiles) config.wrong_type("image_grid_pinpoints", "pairs of pixel sizes");
    c.geometry.pinpoints = std::move(pinpoints.sizes);
  }
}

}  // namespace

void read_hugging_face_config(const JsonObject& config, CheckpointDescription& description) {
  const Json empty = Json::object();
  const Json* text_json = config.find("text_config");
  const JsonObject text(text_json != nullptr ? *text_json : empty,
                        config.source() + ": text_config");
  LlavaConfig& c = description.config;
  c.decoder = read_decoder_config(text, text_family(text));
  c.decoder.is_head_tied |= config.get_bool("tie_word_embeddings").value_or(false);

  VisionConfig vision = vit_l_14_336();
  if (const Json* vision_json = config.find("vision_config")) {
    const JsonObject object(*vision_json, config.source() + ": vision_config");
    vision = read_clip_config(object);
  }
  c.projector.type = ProjectorType::kMlp;
  c.projector.mlp_depth = 2;
  c.projector.has_bias = config.get_bool("multimodal_projector_bias").value_or(true);
  c.projector.activation = read_activation(config, "projector_hidden_act", Activation::kGelu);
  if (config.has("vision_feature_layer")) {
    c.vision_feature_layers = read_feature_layers(config, "vision_feature_layer");
  }
  const bool is_next = description.architecture == "LlavaNextForConditionalGeneration" ||
                       description.model_type == "llava_next";
  read_hugging_face_geometry(config, is_next, description);

  description.has_tower_weights = true;
  description.use_im_patch_token = false;
  description.conv_mode = config.get_string("conv_mode").value_or("");
  description.image_token_id = get_int32(config, "image_token_index", 0, INT32_MAX);
  if (!description.image_token_id) {
    description.image_token_id = get_int32(config, "image_token_id", 0, INT32_MAX).value_or(32000);
  }
  attach_vision(description, vision);
}

void read_hugging_face_padding(const fs::path& folder, CheckpointDescription& description) {
  if (description.config.geometry.mode != image::AspectMode::kSquare) return;
  fs::path path = folder / "preprocessor_config.json";
  bool is_nested = false;
  if (!fs::exists(path)) {
    path = folder / "processor_config.json";
    is_nested = true;
  }
  if (!fs::exists(path)) return;
  const Json json = read_json_file(path, 16u << 20);
  const JsonObject file(json, fmt::format("'{}'", path.string()));
  const Json* settings_json = is_nested ? file.find("image_processor") : &json;
  if (settings_json == nullptr) return;
  const JsonObject settings(*settings_json, file.source());
  const std::string type = settings.get_string("image_processor_type").value_or("");
  if (type.starts_with("LlavaImageProcessor") && settings.get_bool("do_pad").value_or(false)) {
    description.config.geometry.mode = image::AspectMode::kPad;
  }
}

}  // namespace llava::checkpoint
