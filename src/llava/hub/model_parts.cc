// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/model_parts.h"

#include <optional>

#include "llava/checkpoint/sharded.h"
#include "llava/checkpoint/vision_tower_folder.h"
#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::hub {
namespace {

namespace fs = std::filesystem;

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// A JSON object of the folder; an empty one where it is absent or none.
Json object_in(const fs::path& folder, const char* name) {
  try {
    Json json = read_json_file(folder / name);
    if (json.is_object()) return json;
  } catch (const Error&) {
  }
  return Json::object();
}

// A value that can be the name of a model of the hub and no folder's.
std::optional<checkpoint::HubName> name_in(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_string()) return std::nullopt;
  auto name = checkpoint::parse_hub_name(it->get<std::string>());
  return name && name->has_owner() ? name : std::nullopt;
}

fs::path find_tower(const checkpoint::HubName& name, const fs::path& checkpoint_folder) {
  try {
    return checkpoint::resolve_vision_tower({.name = name.text(),
                                             .checkpoint_folder = checkpoint_folder,
                                             .explicit_folder = {},
                                             .models_root = {}});
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

bool has_all_weights(const fs::path& folder) {
  if (is_there(folder / "adapter_config.json")) {
    return is_there(folder / "adapter_model.safetensors") || is_there(folder / "adapter_model.bin");
  }
  const auto weights = checkpoint::find_weights(folder);
  if (!weights) return is_there(folder / "mm_projector.bin") || !is_there(folder / "config.json");
  if (weights->extension() != ".json") return true;
  const Json index = object_in(folder, weights->filename().c_str());
  const auto map = index.find("weight_map");
  if (map == index.end() || !map->is_object()) return false;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !is_there(folder / file.get<std::string>())) return false;
  }
  return true;
}

std::vector<ModelPart> missing_parts(const fs::path& folder, const WantedParts& wanted) {
  std::vector<ModelPart> parts;
  const auto add = [&parts](const checkpoint::HubName& name, const fs::path& found, bool weights) {
    if (found.empty() || (weights && !has_all_weights(found))) {
      parts.push_back({.name = name, .has_weights = weights});
    }
  };
  if (wanted.tower) {
    const Json config = object_in(folder, "config.json");
    const auto inside = config.find("unfreeze_mm_vision_tower");
    const bool is_inside = inside != config.end() && *inside == Json(true);
    if (const auto tower = name_in(config, "mm_vision_tower")) {
      add(*tower, find_tower(*tower, folder), wanted.weights && !is_inside);
    }
  }
  if (wanted.base) {
    if (const auto base =
            name_in(object_in(folder, "adapter_config.json"), "base_model_name_or_path")) {
      add(*base, checkpoint::find_in_hub_cache(*base), wanted.weights);
    }
  }
  return parts;
}

}  // namespace llava::hub
