// SPDX-License-Identifier: Apache-2.0
#include "llava/train/tower_files.h"

#include <utility>

#include "llava/backend/torch/torch_tensor.h"
#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/safetensors.h"
#include "llava/checkpoint/sharded.h"
#include "llava/core/error.h"
#include "llava/core/file.h"
#include "llava/core/json.h"

namespace llava::train {
namespace {

namespace fs = std::filesystem;
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;
using SourcePtr = std::shared_ptr<const checkpoint::TensorSource>;

constexpr const char* kHeadFile = "contrastive_head.safetensors";
constexpr const char* kProcessorFile = "preprocessor_config.json";

// Loads what `source` has; a tensor that is wanted and missing is an error.
template <class Wanted>
void load_from(const SourcePtr& source, const fs::path& place, const Wanted& wanted,
               ContrastiveModel& model) {
  model::visit(model,
               {.on_parameter =
                    [&](const std::string& name, model::Parameter& parameter) {
                      if (!wanted(name)) return;
                      const auto found = source->tensors().find(name);
                      if (found == source->tensors().end()) {
                        if (parameter.is_optional || name == "logit_bias") return;
                        fail(ErrorCode::kBadFormat, "'{}' has no tensor '{}': get the whole tower",
                             place.string(), name);
                      }
                      if (found->second.shape != parameter.shape) {
                        fail(ErrorCode::kBadFormat,
                             "'{}': tensor '{}' has shape {}, expected {}: config.json and weights "
                             "are not of the same tower",
                             place.string(), name, to_text(found->second.shape),
                             to_text(parameter.shape));
                      }
                      parameter.value = host_to_float32(source->load(name));
                    },
                .on_linear = {}});
}

Json tower_config(const fs::path& source) {
  Json config = read_json_file(source / "config.json");
  // A full CLIP's file: the tower alone is written.
  if (config.contains("vision_config")) config = Json(config["vision_config"]);
  config["architectures"] = {"CLIPVisionModel"};
  config["model_type"] = "clip_vision_model";
  config["torch_dtype"] = "float32";
  return config;
}

}  // namespace

bool load_tower(const fs::path& folder, ContrastiveModel& model) {
  if (!checkpoint::find_weights(folder)) return false;
  const SourcePtr tower = checkpoint::rename_source(
      checkpoint::open_weights(folder), [](std::string_view key) -> std::optional<std::string> {
        const auto name = checkpoint::canonical_tower_name(key);
        if (!name) return std::nullopt;
        return name->substr(checkpoint::kVisionTowerPrefix.size());
      });
  load_from(
      tower, folder, [](const std::string& name) { return !is_contrastive_head(name); }, model);
  if (fs::exists(folder / kHeadFile)) {
    load_from(checkpoint::open_tensor_file(folder / kHeadFile), folder / kHeadFile,
              is_contrastive_head, model);
  }
  return true;
}

void write_tower_folder(const fs::path& folder, const fs::path& source,
                        const std::vector<TrainedParameter>& parameters, Backend& backend) {
  NamedTensors tower, head;
  for (const TrainedParameter& parameter : parameters) {
    (is_contrastive_head(parameter.name) ? head : tower)
        .emplace_back(parameter.name, backend.to_host(from_at(parameter.master.detach())));
  }
  fs::create_directories(folder);
  write_file_atomically(folder / "config.json", to_text(tower_config(source), 2) + "\n");
  write_file_atomically(folder / kProcessorFile,
                        to_text(read_json_file(source / kProcessorFile), 2) + "\n");
  checkpoint::write_safetensors(folder / "model.safetensors", tower, {{"format", "pt"}});
  checkpoint::write_safetensors(folder / kHeadFile, head, {{"format", "pt"}});
}

}  // namespace llava::train
