// SPDX-License-Identifier: Apache-2.0
#include "llava/checkpoint/config_json.h"

#include "llava/checkpoint/config_layouts.h"
#include "llava/checkpoint/config_values.h"
#include "llava/checkpoint/sharded.h"
#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::checkpoint {
namespace {

namespace fs = std::filesystem;
using model::VisionConfig;

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
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
  const bool has_defaults = description.config.decoder.family != model::DecoderFamily::kQwen2;
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

// The model's own bounds; here it is a file that breaks them.
void check_values(const model::LlavaConfig& config, std::string_view source) {
  try {
    model::validate(config);
  } catch (const Error& error) {
    fail(ErrorCode::kBadFormat, "{}: {}: the file is damaged or of an unknown model", source,
         error.what());
  }
}

// What image::plan_layout would refuse for every picture.
void check_geometry(const CheckpointDescription& description) {
  const image::ImageGeometry& geometry = description.config.geometry;
  if (geometry.has_class_token && geometry.merge.is_spatial) {
    fail(ErrorCode::kUnsupported,
         "'{}': the class token is kept (cls_patch or full) together with a spatial merge; "
         "supported is one of the two",
         description.folder.string());
  }
  if (geometry.mode != image::AspectMode::kAnyres) return;
  for (const image::ImageSize size : geometry.pinpoints) {
    if (size.width % geometry.tile_size != 0 || size.height % geometry.tile_size != 0) {
      fail(ErrorCode::kBadFormat,
           "'{}': image_grid_pinpoints holds {}x{}, expected multiples of the vision tower's {} "
           "pixels",
           description.folder.string(), size.width, size.height, geometry.tile_size);
    }
    const int64_t tiles =
        int64_t{size.width / geometry.tile_size} * (size.height / geometry.tile_size);
    if (tiles > image::kMaxTiles) {
      fail(ErrorCode::kBadFormat,
           "'{}': image_grid_pinpoints holds {}x{}, {} tiles of {} pixels, expected at most {}",
           description.folder.string(), size.width, size.height, tiles, geometry.tile_size,
           image::kMaxTiles);
    }
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
    read_hugging_face_config(config, description);
  } else {
    read_original_config(config, description);
  }
  read_dtype(config, description);
  read_ids(config, description);
  description.tokenizer_model_max_length =
      get_int32(config, "tokenizer_model_max_length", 1, INT32_MAX);
  description.max_sequence_length = get_int32(config, "max_sequence_length", 1, INT32_MAX);
  description.tokenizer_form = config.get_string("tokenizer_form").value_or("");
  description.padding_side = config.get_string("tokenizer_padding_side").value_or("right");
  if (description.padding_side != "left" && description.padding_side != "right") {
    config.wrong_type("tokenizer_padding_side", "\"left\" or \"right\"");
  }
  if (!description.config.has_vision) check_values(description.config, config.source());
  return description;
}

}  // namespace

std::string first_architecture(const JsonObject& config) {
  const auto list = config.get_string_list("architectures");
  return list && !list->empty() ? list->front() : std::string();
}

[[noreturn]] void refuse_architecture(const JsonObject& config, std::string_view what) {
  fail(ErrorCode::kUnsupported,
       "{}: architecture '{}' (model_type '{}') {}; supported are LlavaLlamaForCausalLM, "
       "LlavaMistralForCausalLM, LlavaQwenForCausalLM, LlavaForConditionalGeneration, "
       "LlavaNextForConditionalGeneration, and LLaMA, Mistral and Qwen2 as language models",
       config.source(), first_architecture(config),
       config.get_string("model_type").value_or("(none)"), what);
}

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
  if (description.layout == Layout::kHuggingFace) read_hugging_face_padding(folder, description);
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
  model::LlavaConfig& c = description.config;
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
  check_geometry(description);
  description.is_vision_known = true;
  check_values(c, file_source(description.folder));
}

}  // namespace llava::checkpoint
