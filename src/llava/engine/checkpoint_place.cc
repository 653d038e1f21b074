// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/checkpoint_place.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "llava/checkpoint/adapter_config.h"
#include "llava/checkpoint/gguf.h"
#include "llava/checkpoint/gguf_language_model.h"
#include "llava/checkpoint/hub_cache.h"
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

// A snapshot of the hub without config.json is a model in GGUF files.
fs::path choose_gguf(const fs::path& snapshot) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(snapshot)) {
    if (entry.path().extension() == ".gguf") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.size() == 1) return files.front();
  std::string list;
  for (const fs::path& file : files) list += "\n  " + file.string();
  fail(ErrorCode::kInvalidArgument, "'{}' holds several GGUF models: name one of these files:{}",
       snapshot.string(), list);
}

// The name by the original's rule; of a model of the hub that is what it is called there, wherever
// its snapshot lies.
std::string name_of(const std::string& given, const fs::path& place) {
  std::error_code error;
  if (const auto name = checkpoint::parse_hub_name(given); name && !fs::exists(given, error)) {
    return text::model_name_from_path(name->repo);
  }
  return text::model_name_from_path(fs::absolute(place).lexically_normal().string());
}

// The base that an adapter names, if it can be one of the hub's.
std::optional<checkpoint::HubName> named_base(const fs::path& adapter_folder) {
  try {
    auto name =
        checkpoint::parse_hub_name(checkpoint::read_adapter_config(adapter_folder).base_model);
    return name && name->has_owner() ? name : std::nullopt;
  } catch (const Error&) {
    return std::nullopt;  // is reported where the adapters are read
  }
}

fs::path find_named_base(const fs::path& adapter_folder) {
  const auto name = named_base(adapter_folder);
  const fs::path found = name ? checkpoint::find_in_hub_cache(*name) : fs::path();
  if (!found.empty()) {
    log_info("base_from_hub_cache", {{"name", name->text()}, {"folder", found.string()}});
  }
  return found;
}

[[noreturn]] void fail_without_base(const CheckpointPlace& place) {
  const auto name =
      place.description.layout == Layout::kLora ? named_base(place.path) : std::nullopt;
  fail(ErrorCode::kInvalidArgument,
       "'{}' is a {} checkpoint: give its base language model with --model-base{}",
       place.path.string(), checkpoint::layout_name(place.description.layout),
       name ? fmt::format(", or fetch the one it names with 'llava pull {}'", name->text()) : "");
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

fs::path resolve_model_path(const std::string& path, std::string_view flag) {
  std::error_code error;
  if (fs::exists(path, error)) return path;
  const auto name = checkpoint::parse_hub_name(path);
  if (!name) {
    fail(ErrorCode::kNotFound,
         "{} '{}' is no file or folder here, nor can a model of the hub be called so (ORG/NAME or "
         "ORG/NAME@REVISION): check the path",
         flag, path);
  }
  const fs::path cached = checkpoint::find_in_hub_cache(*name);
  if (cached.empty()) {
    fail(ErrorCode::kNotFound,
         "{} '{}' is no file or folder here, and no model of that name is in the hub's cache '{}': "
         "check the path, or fetch the model with 'llava pull {}'",
         flag, path, checkpoint::hub_cache().string(), path);
  }
  log_info("model_from_hub_cache", {{"name", path}, {"folder", cached.string()}});
  const bool has_config = fs::exists(cached / "config.json", error) ||
                          fs::exists(cached / "adapter_config.json", error);
  return has_config ? cached : choose_gguf(cached);
}

CheckpointPlace locate_checkpoint(const std::string& model_path, const std::string& model_base,
                                  const std::string& model_name, bool requires_base) {
  CheckpointPlace place;
  place.path = model_path.empty() ? find_bundled_checkpoint()
                                  : resolve_model_path(model_path, "--model-path");
  if (!model_base.empty()) {
    place.base = resolve_model_path(model_base, "--model-base");
  } else if (model_path.empty()) {
    place.base = find_bundled_base();
  }
  place.name = model_name.empty() ? name_of(model_path, place.path) : model_name;
  place.description = fs::is_directory(place.path) ? checkpoint::read_config(place.path)
                                                   : describe_gguf(place.path);
  const Layout layout = place.description.layout;
  if (layout == Layout::kLora && place.base.empty()) place.base = find_named_base(place.path);
  if (requires_base && needs_base(layout) && place.base.empty()) {
    fail_without_base(place);
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
