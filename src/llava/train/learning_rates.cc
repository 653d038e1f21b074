// SPDX-License-Identifier: Apache-2.0
#include "llava/train/learning_rates.h"

#include <algorithm>
#include <utility>

namespace llava::train {
namespace {

GroupRates group_rates(const TrainConfig& config, const DeepSpeedConfig& deepspeed) {
  const OptimizationArguments& o = config.optimization;
  GroupRates rates{.learning_rate = o.learning_rate,
                   .projector_rate = o.mm_projector_lr.value_or(o.learning_rate),
                   .vision_tower_rate = o.mm_vision_tower_lr.value_or(o.learning_rate),
                   .weight_decay = o.weight_decay,
                   .splits_projector = o.mm_projector_lr.has_value()};
  if (deepspeed.has_optimizer) {
    rates.projector_rate = rates.vision_tower_rate = o.learning_rate;
    rates.splits_projector = false;
  }
  return rates;
}

std::vector<ParameterGroup> groups_of(const TrainConfig& config, const DeepSpeedConfig& deepspeed,
                                      const std::vector<TrainedParameter>& parameters) {
  std::vector<ParameterGroup> groups = make_groups(parameters, group_rates(config, deepspeed));
  if (deepspeed.has_optimizer) {
    // One group, decayed as a whole.
    for (std::size_t g = 1; g < groups.size(); ++g) {
      groups[0].members.insert(groups[0].members.end(), groups[g].members.begin(),
                               groups[g].members.end());
    }
    groups.resize(1);
    std::ranges::sort(groups[0].members);
  }
  return groups;
}

}  // namespace

LearningRates::LearningRates(const TrainConfig& config, const DeepSpeedConfig& deepspeed,
                             const std::vector<TrainedParameter>& parameters, const StepPlan& plan)
    : groups_(groups_of(config, deepspeed, parameters)),
      schedule_(deepspeed.has_warmup_scheduler ? "deepspeed_warmup"
                                               : config.optimization.lr_scheduler_type,
                plan.num_steps, plan.num_warmup_steps, config.optimization.learning_rate),
      misassigns_(deepspeed.is_given && config.compat() == Compat::kReference) {}

std::vector<ParameterGroup> LearningRates::groups_of_owned(ParameterShards& shards) const {
  std::vector<ParameterGroup> groups = groups_;
  for (ParameterGroup& group : groups) {
    std::vector<std::size_t> owned;
    for (std::size_t i = 0; i < shards.owned().size(); ++i) {
      if (std::ranges::find(group.members, shards.parameter_of(i)) != group.members.end()) {
        owned.push_back(i);
      }
    }
    group.members = std::move(owned);
  }
  return groups;
}

std::vector<double> LearningRates::at(int64_t step, int64_t skipped_steps) const {
  const double factor = schedule_.factor(step - skipped_steps);
  std::vector<double> rates;
  for (const ParameterGroup& group : groups_) rates.push_back(group.base_rate * factor);
  if (!misassigns_ || step == 0) return rates;
  // DeepSpeed drops empty groups when the schedule already holds the rates of all: the rest gets
  // them by position.
  std::size_t position = 0;
  std::vector<double> shifted = rates;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    if (!groups_[g].members.empty()) shifted[g] = rates[position++];
  }
  return shifted;
}

}  // namespace llava::train
