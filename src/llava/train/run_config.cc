// SPDX-License-Identifier: Apache-2.0
#include "llava/train/run_config.h"

#include "llava/core/json.h"

namespace llava::train {
namespace {

std::string llava_model_type(const std::string& base, std::string_view source) {
  if (base.starts_with("llava_") || base == "llava") return base;
  if (base == "llama" || base == "mistral") return "llava_" + base;
  if (base == "qwen2") return "llava_qwen";
  fail(ErrorCode::kUnsupported,
       "{}: model_type is '{}': a language model to train a LLaVA on is llama, mistral or qwen2",
       source, base);
}

// The type of projector that the base already has; empty without one.
std::string base_projector_type(const Json& base) {
  if (!base.contains("mm_vision_tower") || base["mm_vision_tower"].is_null()) return "";
  return base.value("mm_projector_type", std::string("linear"));
}

}  // namespace

Json make_run_config(const Json& base, const TrainConfig& config, int32_t vision_width,
                     std::string_view source) {
  Json result = base;
  const ModelArguments& model = config.model;
  if (model.vision_tower.empty()) return result;
  const std::string present = base_projector_type(base);
  if (!present.empty() && present != model.mm_projector_type &&
      config.compat() == Compat::kIntended) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' has a projector of type '{}', --mm-projector-type is '{}': give the type it has",
         source, present, model.mm_projector_type);
  }
  const JsonObject object(base, source);
  result["model_type"] = llava_model_type(object.get_string("model_type").value_or(""), source);
  if (result["model_type"] == "llava_llama") {
    // What the published configuration class writes even where the base's file leaves it out.
    const Json defaults = {
        {"attention_bias", false}, {"attention_dropout", 0.0}, {"rope_theta", 10000.0}};
    for (const auto& [key, value] : defaults.items()) {
      if (!result.contains(key)) result[key] = value;
    }
  }
  result["mm_vision_tower"] = model.vision_tower;
  result["use_mm_proj"] = true;
  result["mm_projector_type"] = model.mm_projector_type;
  result["mm_hidden_size"] = vision_width;
  result["mm_vision_select_layer"] = model.mm_vision_select_layer;
  result["mm_vision_select_feature"] = model.mm_vision_select_feature;
  result["mm_patch_merge_type"] = model.mm_patch_merge_type;
  result["image_aspect_ratio"] = config.data.image_aspect_ratio;
  result["tokenizer_padding_side"] = "right";
  result["tokenizer_model_max_length"] = config.optimization.model_max_length;
  result["tune_mm_mlp_adapter"] = model.tune_mm_mlp_adapter;
  result["freeze_mm_mlp_adapter"] = config.optimization.freeze_mm_mlp_adapter;
  result["mm_use_im_start_end"] = model.mm_use_im_start_end;
  result["mm_use_im_patch_token"] = model.mm_use_im_patch_token;
  if (!config.data.image_grid_pinpoints.empty()) {
    result["image_grid_pinpoints"] = config.data.image_grid_pinpoints;
  }
  const auto& projector_rate = config.optimization.mm_projector_lr;
  result["mm_projector_lr"] = nullptr;
  if (projector_rate) result["mm_projector_lr"] = *projector_rate;
  return result;
}

}  // namespace llava::train
