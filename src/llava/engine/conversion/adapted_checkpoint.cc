// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/conversion/adapted_checkpoint.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "llava/checkpoint/held_weights.h"
#include "llava/checkpoint/key_names.h"
#include "llava/checkpoint/weight_assignment.h"
#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/engine/checkpoint_images.h"
#include "llava/engine/checkpoint_weights.h"

namespace llava::engine {
namespace {

using checkpoint::is_projector_name;
using checkpoint::is_vision_name;
using SourcePtr = std::shared_ptr<const checkpoint::TensorSource>;

constexpr std::string_view kNewline = "model.image_newline";
constexpr std::string_view kProbe = "model.layers.0.self_attn.q_proj.weight";

// What is not the language model's.
bool is_multimodal_name(std::string_view name) {
  return is_vision_name(name) || is_projector_name(name) || name == kNewline;
}

}  // namespace

AdaptedCheckpoint::AdaptedCheckpoint(CheckpointPlace& place, const std::string& vision_tower,
                                     TowerWeights tower, ThreadPool& pool)
    : place_(place), text_(read_checkpoint_text(place)) {
  const bool has_tower = find_tower(vision_tower, tower);
  CheckpointWeights opened =
      open_checkpoint_weights(place_, LoadRequest{}, tower_folder_, text_.tokenizer->size(), &pool);
  weights_ = std::move(opened.model);
  has_own_tower_ = place_.description.has_tower_weights || trains_tower(opened.is_tower_separate);
  // One that was trained is written, so its place has to be known after all.
  if (!has_tower && has_own_tower_) locate_vision_tower(place_, vision_tower);
  if (has_tower) {
    assign_all(tower);
  } else {
    assign_without_tower();
  }
}

DType AdaptedCheckpoint::dtype() const {
  const auto it = base().tensors().find(std::string(kProbe));
  const bool is_known = it != base().tensors().end() && is_compute_dtype(it->second.dtype);
  return is_known ? it->second.dtype : DType::kFloat32;
}

// Whether the tower's shape is known, and so everything can be checked. Only who writes its
// weights cannot do without.
bool AdaptedCheckpoint::find_tower(const std::string& vision_tower, TowerWeights tower) {
  if (!place_.description.config.has_vision) return true;
  try {
    tower_folder_ = locate_vision_tower(place_, vision_tower);
  } catch (const Error& error) {
    const bool is_needed = tower == TowerWeights::kAlways || place_.description.has_tower_weights;
    if (is_needed || !vision_tower.empty() || error.code() != ErrorCode::kNotFound) {
      throw;
    }
    log_info("merging_without_tower", {{"vision_tower", place_.description.vision_tower}});
    return false;
  }
  read_checkpoint_images(place_, tower_folder_, {});
  return true;
}

bool AdaptedCheckpoint::trains_tower(bool is_tower_separate) const {
  const auto is_tower = [](const auto& entry) { return is_vision_name(entry.first); };
  if (std::ranges::any_of(weights_.adapters, is_tower)) return true;
  // Sources before the tower's own folder and the base are the adapter's.
  const std::size_t num_others = is_tower_separate ? 2 : 1;
  for (std::size_t i = 0; i + num_others < weights_.sources.size(); ++i) {
    if (std::ranges::any_of(weights_.sources[i]->tensors(), is_tower)) return true;
  }
  return false;
}

void AdaptedCheckpoint::assign_all(TowerWeights tower) {
  const model::LlavaConfig& config = place_.description.config;
  model::validate(config);
  model::LlavaModel model(config);
  for (auto& assignment : checkpoint::assign_weights(model, weights_)) {
    if (!is_vision_name(assignment.name)) parts_.push_back({assignment.name, assignment.source});
  }
  // A tower is written whole, with the layers behind the one whose features are used.
  if (tower == TowerWeights::kAlways || has_own_tower_) add_parts(is_vision_name);
}

// What the sources have besides the language model, in their order of precedence.
void AdaptedCheckpoint::add_parts(bool (*is_wanted)(std::string_view)) {
  std::set<std::string> names;
  for (const SourcePtr& source : weights_.sources) {
    for (const auto& [name, info] : source->tensors()) {
      if (is_wanted(name) && names.insert(name).second) parts_.push_back({name, source});
    }
  }
}

void AdaptedCheckpoint::assign_without_tower() {
  model::LlavaConfig config = place_.description.config;
  config.has_vision = false;
  model::validate(config);
  model::LlavaModel model(config);
  checkpoint::ModelWeights language;
  for (const SourcePtr& source : weights_.sources) {
    language.sources.push_back(
        checkpoint::rename_source(source, [](std::string_view key) -> std::optional<std::string> {
          if (is_multimodal_name(key)) return std::nullopt;
          return std::string(key);
        }));
  }
  for (const auto& [name, adapter] : weights_.adapters) {
    if (!is_multimodal_name(name)) language.adapters[name] = adapter;
  }
  for (auto& assignment : checkpoint::assign_weights(model, language)) {
    parts_.push_back({assignment.name, assignment.source});
  }
  add_parts([](std::string_view name) { return is_projector_name(name) || name == kNewline; });
  check_projector_adapters();
}

// Where no model of the whole checks them.
void AdaptedCheckpoint::check_projector_adapters() const {
  for (const auto& [name, adapter] : weights_.adapters) {
    if (!is_multimodal_name(name)) continue;
    const auto part = std::ranges::find(parts_, name + ".weight", &Part::name);
    const Shape expected{adapter.b_OR.dim(0), adapter.a_RI.dim(1)};
    if (part != parts_.end() && part->info().shape == expected) continue;
    fail(ErrorCode::kBadFormat,
         "the adapter of '{}' is for a matrix of {}, but the checkpoint has {}: it was trained "
         "for another model",
         name, to_text(expected),
         part == parts_.end() ? "none of that name" : to_text(part->info().shape));
  }
}

const model::LoraAdapter* AdaptedCheckpoint::adapter_of(std::string_view weight) const {
  constexpr std::string_view kWeight = ".weight";
  if (!weight.ends_with(kWeight)) return nullptr;
  weight.remove_suffix(kWeight.size());
  const auto it = weights_.adapters.find(std::string(weight));
  return it == weights_.adapters.end() ? nullptr : &it->second;
}

}  // namespace llava::engine
