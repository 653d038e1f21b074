// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/checkpoint_place.h"

#include "llava/checkpoint/gguf.h"
#include "llava/checkpoint/gguf_language_model.h"
#include "llava/checkpoint/sharded.h"
#include "llava/checkpoint/vision_tower_folder.h"
#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/engine/bundled_model.h"
#include "llava/engine/checkpoint_weights.h"
#include "llava/model/presets.h"
#include "llava/text/choose_template.h"

namespace llava::engine {
namespace {

namespace fs = std::filesystem;
using checkpoint::Layout;

fs::path resolve(const std::string& path, std::string_view flag) {
  std::error_code error;
  if (fs::exists(path, error)) return path;
  const fs::path cached = checkpoint::find_in_hub_cache(path);
  if (!cached.empty()) {
    log_info("model_from_hub_cache", {{"name", path}, {"folder", cached.string()}});
    return cached;
  }
  fail(ErrorCode::kNotFound,
       "{} '{}' is neither a file or folder here nor a model in the local hub cache: check the "
       "path, "
       "or download the model first",
       flag, path);
}

checkpoint::CheckpointDescription describe_gguf(const fs::path& file) {
  const auto gguf = checkpoint::GgufFile::open(file);
  checkpoint::CheckpointDescription description;
  description.folder = file.parent_path();
  description.layout = Layout::kLanguageModel;
  description.model_type = "gguf";
  description.config.decoder = checkpoint::read_gguf_decoder_config(*gguf);
  description.config.has_vision = false;
  const auto vocabulary = checkpoint::read_gguf_vocabulary(*gguf);
  description.bos_token_id = vocabulary.bos_id;
  if (vocabulary.eos_id) description.eos_token_ids = {*vocabulary.eos_id};
  description.pad_token_id = vocabulary.pad_id;
  return description;
}

// The published loader goes by the name; we go by the content and say so when they disagree.
void warn_if_name_misleads(const CheckpointPlace& place) {
  std::string lower = place.name;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const bool is_named_llava = lower.find("llava") != std::string::npos;
  if (place.description.layout == Layout::kOriginal && !is_named_llava) {
    log_warning(
        "name_without_llava",
        {{"name", place.name}, {"effect", "the original would load it as a plain language model"}});
  }
  if (place.description.layout == Layout::kLora && lower.find("lora") == std::string::npos) {
    log_info("name_without_lora",
             {{"name", place.name}, {"effect", "the original would not apply the adapters"}});
  }
}

}  // namespace

CheckpointPlace locate_checkpoint(const std::string& model_path, const std::string& model_base,
                                  const std::string& model_name, bool requires_base) {
  CheckpointPlace place;
  place.path = model_path.empty() ? find_bundled_checkpoint() : resolve(model_path, "--model-path");
  if (!model_base.empty()) {
    place.base = resolve(model_base, "--model-base");
  } else if (model_path.empty()) {
    place.base = find_bundled_base();
  }
  const std::string path_text = fs::absolute(place.path).lexically_normal().string();
  place.name = model_name.empty() ? text::model_name_from_path(path_text) : model_name;
  place.description = fs::is_directory(place.path) ? checkpoint::read_config(place.path)
                                                   : describe_gguf(place.path);
  const Layout layout = place.description.layout;
  if (requires_base && needs_base(layout) && place.base.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "'{}' is a {} checkpoint: give its base language model with --model-base",
         place.path.string(), checkpoint::layout_name(layout));
  }
  if (!needs_base(layout) && !place.base.empty()) {
    if (fs::is_directory(place.path) && !checkpoint::find_weights(place.path)) {
      fail(ErrorCode::kNotFound,
           "'{}' has neither weights of its own, nor adapters to apply to --model-base "
           "(adapter_config.json with adapter_model.safetensors or .bin), nor a projector "
           "(mm_projector.bin): get the missing files",
           place.path.string());
    }
    log_warning("model_base_unused",
                {{"model_base", place.base.string()}, {"layout", checkpoint::layout_name(layout)}});
    place.base.clear();
  }
  warn_if_name_misleads(place);
  return place;
}

fs::path locate_vision_tower(const CheckpointPlace& place, const std::string& explicit_folder) {
  const checkpoint::CheckpointDescription& description = place.description;
  try {
    return checkpoint::resolve_vision_tower({.name = description.vision_tower,
                                             .checkpoint_folder = description.folder,
                                             .explicit_folder = explicit_folder,
                                             .models_root = {}});
  } catch (const Error&) {
    if (explicit_folder.empty() && description.has_tower_weights &&
        model::published_vision_tower(description.vision_tower)) {
      return {};
    }
    throw;
  }
}

}  // namespace llava::engine
