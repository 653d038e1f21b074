// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "llava/checkpoint/config_layouts.h"
#include "llava/checkpoint/config_values.h"
#include "llava/core/error.h"

namespace llava::checkpoint {
namespace {

using model::DecoderFamily;
using model::LlavaConfig;
using model::ProjectorConfig;
using model::ProjectorType;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// The language model's family in the flat layouts. model_type is the class that was run;
// `architectures` may be the base's, and decides only when model_type says nothing ("llava").
DecoderFamily family_of(const JsonObject& config) {
  const std::string architecture = first_architecture(config);
  const std::string type = config.get_string("model_type").value_or("");
  for (const std::string& name : {type, architecture}) {
    for (const std::string_view word : {"mpt", "MPT", "Mpt", "mixtral", "Mixtral", "gemma", "Gemma",
                                        "moe", "Moe", "MoE", "phi", "Phi", "qwen3", "Qwen3"}) {
      if (contains(name, word)) refuse_architecture(config, "is not built here");
    }
    if (contains(name, "mistral") || contains(name, "Mistral")) return DecoderFamily::kMistral;
    if (contains(name, "qwen") || contains(name, "Qwen")) return DecoderFamily::kQwen2;
    if (contains(name, "llama") || contains(name, "Llama") || contains(name, "LLaMA")) {
      return DecoderFamily::kLlama;
    }
  }
  refuse_architecture(config, "names no known language model");
}

ProjectorConfig read_projector(const JsonObject& config) {
  ProjectorConfig projector;
  const std::string type = config.get_string("mm_projector_type").value_or("linear");
  if (type == "linear") return projector;
  if (type == "identity") {
    projector.type = ProjectorType::kIdentity;
    return projector;
  }
  std::string_view digits = type;
  if (digits.starts_with("mlp") && digits.ends_with("x_gelu")) {
    digits.remove_prefix(3);
    digits.remove_suffix(6);
    const bool is_number =
        !digits.empty() && digits.find_first_not_of("0123456789") == std::string_view::npos;
    if (is_number && digits.size() <= 2 && std::stoi(std::string(digits)) >= 1) {
      projector.type = ProjectorType::kMlp;
      projector.mlp_depth = std::stoi(std::string(digits));
      return projector;
    }
  }
  fail(
      ErrorCode::kUnsupported,
      "{}: Unknown projector type: {}; supported are linear, identity and mlpNx_gelu with N from 1 "
      "to 99",
      config.source(), type);
}

// anyres_max_N in image_aspect_ratio; 0 when it is not of that form.
int32_t views_of_anyres_max(const JsonObject& config, const std::string& aspect) {
  constexpr std::string_view kMark = "anyres_max_";
  const std::size_t at = aspect.find(kMark);
  if (at == std::string::npos) return 0;
  const std::string digits = aspect.substr(at + kMark.size());
  const std::size_t length = std::min(digits.find_first_not_of("0123456789"), digits.size());
  if (length == 0 || length > 4 || std::stoi(digits.substr(0, length)) < 1) {
    config.wrong_type("image_aspect_ratio", "anyres_max_N with N from 1 to 9999");
  }
  return std::stoi(digits.substr(0, length));
}

void read_original_geometry(const JsonObject& config, CheckpointDescription& description) {
  image::ImageGeometry& geometry = description.config.geometry;
  geometry.rules = image::AnyresRules::kOriginal;
  const std::string aspect = config.get_string("image_aspect_ratio").value_or("square");
  if (aspect == "highres" || aspect == "crop_split") {
    fail(ErrorCode::kUnsupported,
         "{}: image_aspect_ratio '{}'; supported are pad, square, anyres and anyres_max_N",
         config.source(), aspect);
  }
  geometry.mode = aspect == "pad" ? image::AspectMode::kPad : image::AspectMode::kSquare;
  if (aspect == "anyres" || contains(aspect, "anyres_max")) {
    geometry.mode = image::AspectMode::kAnyres;
    geometry.merge.max_views = views_of_anyres_max(config, aspect);
    if (!config.has("image_grid_pinpoints")) {
      fail(ErrorCode::kBadFormat, "{}: key 'image_grid_pinpoints' is absent, required for {}",
           config.source(), aspect);
    }
  }
  if (config.has("image_grid_pinpoints")) {
    Pinpoints pinpoints = read_pinpoints(config, "image_grid_pinpoints", false);
    (pinpoints.in_tiles ? description.pinpoint_grids : geometry.pinpoints) =
        std::move(pinpoints.sizes);
  }
  const std::string merge = config.get_string("mm_patch_merge_type").value_or("flat");
  geometry.merge.is_spatial = merge.starts_with("spatial");
  geometry.merge.has_unpad = contains(merge, "unpad");
  if ((merge != "flat" && !geometry.merge.is_spatial) || contains(merge, "maxpool") ||
      contains(merge, "nobase")) {
    fail(ErrorCode::kUnsupported,
         "{}: Unexpected mm_patch_merge_type: {}; supported are flat, spatial and spatial_unpad",
         config.source(), merge);
  }
  description.config.has_image_newline = geometry.merge.has_unpad;

  const std::string feature = config.get_string("mm_vision_select_feature").value_or("patch");
  if (feature != "patch" && feature != "cls_patch") {
    fail(ErrorCode::kUnsupported,
         "{}: Unexpected select feature: {}; supported are patch and cls_patch", config.source(),
         feature);
  }
  geometry.has_class_token = feature == "cls_patch";
}

void read_original_vision(const JsonObject& config, CheckpointDescription& description) {
  LlavaConfig& c = description.config;
  c.has_vision = config.has("mm_vision_tower");
  if (!c.has_vision) return;
  description.vision_tower = *config.get_string("mm_vision_tower");
  description.has_tower_weights = config.get_bool("unfreeze_mm_vision_tower").value_or(false);
  if (config.get_bool("s2").value_or(false)) {
    fail(ErrorCode::kUnsupported,
         "{}: s2 is true (features at several scales); supported are towers of one scale",
         config.source());
  }
  c.projector = read_projector(config);
  description.mm_hidden_size = get_int32(config, "mm_hidden_size", 1, 1 << 20);
  c.vision_feature_layers = read_feature_layers(config, "mm_vision_select_layer");
  if (c.vision_feature_layers.size() != 1) {
    config.wrong_type("mm_vision_select_layer", "the index of a hidden state, such as -2");
  }
  read_original_geometry(config, description);
}

// The published LLaVA classes on Qwen2 drop rope_scaling; a plain Qwen2 model keeps it.
model::DecoderConfig read_decoder(const JsonObject& config,
                                  const CheckpointDescription& description) {
  const DecoderFamily family = family_of(config);
  const bool is_llava = description.layout != Layout::kLanguageModel;
  if (family != DecoderFamily::kQwen2 || !is_llava || !config.has("rope_scaling")) {
    return read_decoder_config(config, family);
  }
  Json without_scaling = config.json();
  without_scaling.erase("rope_scaling");
  return read_decoder_config(JsonObject(without_scaling, config.source()), family);
}

}  // namespace

void read_original_config(const JsonObject& config, CheckpointDescription& description) {
  description.config.decoder = read_decoder(config, description);
  read_original_vision(config, description);
  description.use_im_start_end = config.get_bool("mm_use_im_start_end").value_or(false);
  description.use_im_patch_token = config.get_bool("mm_use_im_patch_token").value_or(true);
  description.tune_mm_mlp_adapter = config.get_bool("tune_mm_mlp_adapter").value_or(false);
  description.conv_mode = config.get_string("conv_mode").value_or("");
}

}  // namespace llava::checkpoint
