// SPDX-License-Identifier: Apache-2.0
//
// Low-rank adapters (arXiv:2106.09685) put on a model to be trained.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "llava/model/llava_model.h"
#include "llava/train/train_config.h"
#include "llava/train/trained_parameter.h"

namespace llava::train {

/// Names of the linear layers that get adapters, in the model's order: all of the decoder's but the
/// head; with a pattern those whose whole name ("model.layers.0.self_attn.q_proj") matches it, as
/// PEFT reads a target that is one string.
///
/// Throws: Error(kInvalidArgument) for a pattern that is no regular expression, that matches
/// nothing, or that matches the head.
/// Source: LLaVA 1.2.2 `llava/train/train.py`, find_all_linear_names.
std::vector<std::string> lora_targets(model::LlavaModel& model, const std::string& pattern);

/// When a forward pass happens, for dropout; shared by all adapters of a model.
struct LoraClock {
  bool is_training = false;
  uint32_t micro_step = 0;
};

/// The adapters of a run.
struct Lora {
  std::vector<std::string> targets;
  std::shared_ptr<LoraClock> clock = std::make_shared<LoraClock>();
};

/// Puts adapters on `targets` and appends their matrices to `parameters`, A before B. New ones
/// start as PEFT's: A uniform in +-1/sqrt(inputs), B zero; with --lora-weight-path they are that
/// folder's.
///
/// Throws: Error(kInvalidArgument) when the folder's rank, scale or layers are not those asked for;
/// what reading it throws.
Lora attach_lora(model::LlavaModel& model, const LoraArguments& arguments, uint64_t seed,
                 DType dtype, std::vector<TrainedParameter>& parameters);

}  // namespace llava::train
