// SPDX-License-Identifier: Apache-2.0
//
// Which parameters of a model train, and making them so.
#pragma once

#include <vector>

#include "llava/model/llava_model.h"
#include "llava/train/lora.h"
#include "llava/train/train_config.h"
#include "llava/train/trained_parameter.h"

namespace llava::train {

/// Everything of a model that a run changes.
struct Trainables {
  /// In the order of the original's model: decoder (adapters at their layers), projector, tower,
  /// head.
  std::vector<TrainedParameter> parameters;
  Lora lora;
};

/// Whether a run trains the parameter of this name, beside the adapters of the layers
/// `lora_targets`.
bool is_trained(const std::string& name, const TrainConfig& config,
                const std::vector<std::string>& lora_targets);

/// Puts adapters on the model where the run wants them, and replaces the values of the parameters
/// that train by leaves that record gradients. The others are left as they are.
///
/// Throws: Error(kInvalidArgument) when nothing would train.
/// Source: LLaVA 1.2.2 `llava/train/train.py`, train; docs/training.md, "What trains".
Trainables make_trainable(model::LlavaModel& model, const TrainConfig& config);

}  // namespace llava::train
