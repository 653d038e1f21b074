// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/config_json.h"

#include "llava/checkpoint/config_values.h"
#include "llava/checkpoint/sharded.h"
#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/core/log.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;
using model::DecoderFamily;
using model::LlavaConfig;
using model::ProjectorConfig;
using model::ProjectorType;
using model::VisionConfig;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string first_architecture(const JsonObject& config) {
  const auto list = config.get_string_list("architectures");
  return list && !list->empty() ? list->front() : std::string();
}

Json read_config_file(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    fail(ErrorCode::kNotFound, "'{}' {}: expected a checkpoint folder", folder.string(),
         fs::exists(folder) ? "is not a folder" : "does not exist");
  }
  const fs::path path = folder / "config.json";
  if (!fs::exists(path)) {
    fail(ErrorCode::kNotFound, "'{}' has no config.json: expected a checkpoint folder",
         folder.string());
  }
  return read_json_file(path, 16u << 20);
}

std::string file_source(const fs::path& folder) {
  return fmt::format("'{}'", (folder / "config.json").string());
}

[[noreturn]] void refuse_architecture(const JsonObject& config, std::string_view what) {
  fail(ErrorCode::kUnsupported,
       "{}: architecture '{}' (model_type '{}') {}; supported are LlavaLlamaForCausalLM, "
       "LlavaMistralForCausalLM, LlavaQwenForCausalLM, LlavaForConditionalGeneration, "
       "LlavaNextForConditionalGeneration, and LLaMA, Mistral and Qwen2 as language models",
       config.source(), first_architecture(config),
       config.get_string("model_type").value_or("(none)"), what);
}

// The layout that config.json alone tells.
Layout layout_of_config(const JsonObject& config) {
  const std::string architecture = first_architecture(config);
  const std::string type = config.get_string("model_type").value_or("");
  if (architecture == "LlavaOnevisionForConditionalGeneration" || type == "llava_onevision" ||
      contains(architecture, "VideoForConditionalGeneration") ||
      contains(architecture, "InterleaveForConditionalGeneration")) {
    refuse_architecture(config, "is not built here");
  }
  const bool has_text_config = config.has("text_config");
  if (architecture == "LlavaForConditionalGeneration" ||
      architecture == "LlavaNextForConditionalGeneration" || type == "llava_next" ||
      (type == "llava" && has_text_config)) {
    return Layout::kHuggingFace;
  }
  if (architecture.starts_with("Llava") || type.starts_with("llava") ||
      config.has("mm_vision_tower")) {
    return Layout::kOriginal;
  }
  return Layout::kLanguageModel;
}

Layout detect_layout(const fs::path& folder, const JsonObject& config) {
  if (fs::exists(folder / "adapter_config.json")) return Layout::kLora;
  if (fs::exists(folder / "mm_projector.bin") && !find_weights(folder)) {
    return Layout::kProjectorOnly;
  }
  return layout_of_config(config);
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

void read_original(const JsonObject& config, CheckpointDescription& description) {
  description.config.decoder = read_decoder_config(config, family_of(config));
  read_original_vision(config, description);
  description.use_im_start_end = config.get_bool("mm_use_im_start_end").value_or(false);
  description.use_im_patch_token = config.get_bool("mm_use_im_patch_token").value_or(true);
  description.tune_mm_mlp_adapter = config.get_bool("tune_mm_mlp_adapter").value_or(false);
  description.conv_mode = config.get_string("conv_mode").value_or("");
}

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

void read_hugging_face(const JsonObject& config, CheckpointDescription& description) {
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
  description.image_token_id = get_int32(config, "image_token_index", 0, INT32_MAX);
  if (!description.image_token_id) {
    description.image_token_id = get_int32(config, "image_token_id", 0, INT32_MAX).value_or(32000);
  }
  attach_vision(description, vision);
}

void read_dtype(const JsonObject& config, CheckpointDescription& description) {
  auto name = config.get_string("torch_dtype");
  if (!name) name = config.get_string("dtype");
  if (name) description.dtype = dtype_from_name(*name);
}

// Special ids; the classes of LLaMA and Mistral have defaults, that of Qwen2 has none.
void read_ids(const JsonObject& config, CheckpointDescription& description) {
  const Json* text_json = config.find("text_config");
  const bool is_nested = description.layout == Layout::kHuggingFace && text_json != nullptr;
  const JsonObject text(is_nested ? *text_json : config.json(), config.source());
  const bool has_defaults = description.config.decoder.family != DecoderFamily::kQwen2;
  const auto one = [&](std::string_view key) -> std::optional<int32_t> {
    auto ids = get_ids(config, key);
    if (ids.empty()) ids = get_ids(text, key);
    return ids.empty() ? std::nullopt : std::optional(ids.front());
  };
  description.bos_token_id = one("bos_token_id");
  description.pad_token_id = one("pad_token_id");
  description.eos_token_ids = get_ids(config, "eos_token_id");
  if (description.eos_token_ids.empty()) description.eos_token_ids = get_ids(text, "eos_token_id");
  if (has_defaults && !text.json().contains("bos_token_id") && !description.bos_token_id) {
    description.bos_token_id = 1;
  }
  if (has_defaults && !text.json().contains("eos_token_id") && description.eos_token_ids.empty()) {
    description.eos_token_ids = {2};
  }
}

// A newer Hugging Face processor restores the original's padding for LLaVA-1.5.
void read_preprocessor_padding(const fs::path& folder, CheckpointDescription& description) {
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

CheckpointDescription read_config_object(const JsonObject& config, Layout layout) {
  CheckpointDescription description;
  description.layout = layout;
  description.architecture = first_architecture(config);
  description.model_type = config.get_string("model_type").value_or("");
  const bool is_hugging_face = layout == Layout::kHuggingFace;
  if (!is_hugging_face && layout_of_config(config) == Layout::kHuggingFace) {
    fail(ErrorCode::kUnsupported,
         "{}: a {} folder for the Hugging Face layout ('{}'); supported are adapters and "
         "projectors of the original layout",
         config.source(), layout_name(layout), description.architecture);
  }
  if (is_hugging_face) {
    read_hugging_face(config, description);
  } else {
    read_original(config, description);
  }
  read_dtype(config, description);
  read_ids(config, description);
  description.tokenizer_model_max_length =
      get_int32(config, "tokenizer_model_max_length", 1, INT32_MAX);
  description.max_sequence_length = get_int32(config, "max_sequence_length", 1, INT32_MAX);
  description.padding_side = config.get_string("tokenizer_padding_side").value_or("right");
  if (description.padding_side != "left" && description.padding_side != "right") {
    config.wrong_type("tokenizer_padding_side", "\"left\" or \"right\"");
  }
  if (!description.config.has_vision) model::validate(description.config);
  return description;
}

}  // namespace

std::string_view layout_name(Layout layout) noexcept {
  switch (layout) {
    case Layout::kOriginal:
      return "original";
    case Layout::kHuggingFace:
      return "hugging_face";
    case Layout::kLora:
      return "lora";
    case Layout::kProjectorOnly:
      return "projector_only";
    case Layout::kLanguageModel:
      return "language_model";
  }
  return "original";
}

Layout detect_layout(const fs::path& folder) {
  const Json json = read_config_file(folder);
  return detect_layout(folder, JsonObject(json, file_source(folder)));
}

CheckpointDescription read_config(const fs::path& folder) {
  const Json json = read_config_file(folder);
  const JsonObject config(json, file_source(folder));
  CheckpointDescription description = read_config_object(config, detect_layout(folder, config));
  description.folder = folder;
  if (description.layout == Layout::kHuggingFace) read_preprocessor_padding(folder, description);
  return description;
}

CheckpointDescription read_config(const Json& json, std::string_view source, Layout layout) {
  return read_config_object(JsonObject(json, source), layout);
}

VisionConfig read_tower_config(const fs::path& folder) {
  const Json json = read_config_file(folder);
  const JsonObject config(json, file_source(folder));
  for (const std::string_view key : {"vision_config", "vision_config_dict"}) {
    if (const Json* nested = config.find(key)) {
      const JsonObject object(*nested, config.source() + ": " + std::string(key));
      const std::string type = config.get_string("model_type").value_or("clip");
      if (type != "clip") {
        fail(ErrorCode::kUnsupported,
             "{}: the vision tower's model_type is '{}'; supported is clip", config.source(), type);
      }
      return read_clip_config(object);
    }
  }
  return read_clip_config(config);
}

void attach_vision(CheckpointDescription& description, const VisionConfig& vision) {
  LlavaConfig& c = description.config;
  const auto width = static_cast<int64_t>(vision.hidden_size) *
                     static_cast<int64_t>(c.vision_feature_layers.size());
  if (description.mm_hidden_size && *description.mm_hidden_size != width) {
    fail(ErrorCode::kBadFormat,
         "'{}': mm_hidden_size is {}, but the vision tower '{}' gives features of width {}: this "
         "checkpoint was made with another tower",
         description.folder.string(), *description.mm_hidden_size, description.vision_tower, width);
  }
  c.vision = vision;
  c.geometry.tile_size = vision.image_size;
  c.geometry.patches_per_side = vision.patches_per_side();
  if (!description.pinpoint_grids.empty()) {
    c.geometry.pinpoints.clear();
    for (const image::ImageSize grid : description.pinpoint_grids) {
      const int64_t w = static_cast<int64_t>(grid.width) * vision.image_size;
      const int64_t h = static_cast<int64_t>(grid.height) * vision.image_size;
      if (w > (1 << 16) || h > (1 << 16)) {
        fail(ErrorCode::kBadFormat,
             "'{}': image_grid_pinpoints holds {}x{} tiles of {} pixels, expected at most 65536 "
             "pixels a side",
             description.folder.string(), grid.width, grid.height, vision.image_size);
      }
      c.geometry.pinpoints.push_back({static_cast<int32_t>(w), static_cast<int32_t>(h)});
    }
  }
  description.is_vision_known = true;
  model::validate(c);
}

}  // namespace llava::checkpoint
