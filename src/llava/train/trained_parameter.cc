// SPDX-License-Identifier: Apache-2.0
#include "llava/train/trained_parameter.h"

#include <string_view>

namespace llava::train {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// Norms of the decoder and of the tower have "norm" in the name of their module, and nothing else
// has.
bool has_decay(std::string_view name) { return !contains(name, "bias") && !contains(name, "norm"); }

}  // namespace

Part part_of(const std::string& name) {
  if (contains(name, "mm_projector")) return Part::kProjector;
  if (contains(name, "vision_tower")) return Part::kVisionTower;
  return Part::kDecoder;
}

TrainedParameter make_parameter(std::string name, const at::Tensor& initial, at::ScalarType dtype) {
  TrainedParameter parameter;
  parameter.part = part_of(name);
  parameter.decays = has_decay(name);
  parameter.name = std::move(name);
  parameter.value = initial.detach().to(dtype, /*non_blocking=*/false, /*copy=*/true).contiguous();
  parameter.master = dtype == at::kFloat ? parameter.value : parameter.value.to(at::kFloat);
  parameter.value.requires_grad_(true);
  return parameter;
}

std::vector<ParameterGroup> make_groups(const std::vector<TrainedParameter>& parameters,
                                        const GroupRates& rates) {
  std::vector<ParameterGroup> groups(rates.splits_projector ? 4 : 2);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    groups[g].base_rate = g < 2 ? rates.learning_rate : rates.projector_rate;
    groups[g].weight_decay = g % 2 == 0 ? rates.weight_decay : 0.0;
  }
  ParameterGroup tower_decayed{
      .members = {}, .base_rate = rates.vision_tower_rate, .weight_decay = rates.weight_decay};
  ParameterGroup tower_others{
      .members = {}, .base_rate = rates.vision_tower_rate, .weight_decay = 0.0};
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const TrainedParameter& parameter = parameters[i];
    if (parameter.part == Part::kVisionTower) {
      (parameter.decays ? tower_decayed : tower_others).members.push_back(i);
      continue;
    }
    const std::size_t first = rates.splits_projector && parameter.part == Part::kProjector ? 2 : 0;
    groups[first + (parameter.decays ? 0 : 1)].members.push_back(i);
  }
  for (ParameterGroup* group : {&tower_decayed, &tower_others}) {
    if (!group->members.empty()) groups.push_back(std::move(*group));
  }
  return groups;
}

}  // namespace llava::train
