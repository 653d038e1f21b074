// SPDX-License-Identifier: Apache-2.0
//
// The tensors that a run changes, and how the optimiser treats each of them.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace llava::train {

/// Which part of the model a parameter belongs to; parts may have rates of their own.
enum class Part : uint8_t { kDecoder, kProjector, kVisionTower };

/// One trained tensor.
struct TrainedParameter {
  /// The original's checkpoint name ("model.mm_projector.0.weight"); of an adapter its layer's name
  /// and ".lora_A" or ".lora_B".
  std::string name;
  /// The leaf that the model computes with, in the run's compute type.
  at::Tensor value;
  /// What the optimiser updates, in float32; `value` itself where that is float32.
  at::Tensor master;
  Part part = Part::kDecoder;
  /// Weight decay applies: a matrix or table, no norm and no bias.
  bool decays = false;

  bool is_adapter() const { return name.ends_with(".lora_A") || name.ends_with(".lora_B"); }
};

/// Makes a parameter of a tensor: a leaf of its own memory in `dtype` that records gradients, and
/// its float32 master, which has the leaf's rounded values as published (docs/training.md).
TrainedParameter make_parameter(std::string name, const at::Tensor& initial, at::ScalarType dtype);

/// The part that a name belongs to.
Part part_of(const std::string& name);

/// A set of parameters with one rate and decay.
struct ParameterGroup {
  std::vector<std::size_t> members;  ///< positions in the list of parameters
  double base_rate = 0;
  double weight_decay = 0;
};

/// Rates of the parts; one that is not set is the decoder's.
struct GroupRates {
  double learning_rate = 0;
  double projector_rate = 0;
  double vision_tower_rate = 0;
  double weight_decay = 0;
  /// Whether the projector has groups of its own, as with --mm_projector_lr.
  bool splits_projector = false;
};

/// The groups in the order that the original makes them: decayed, others, and where the projector
/// is split off its decayed ones and its others. Groups may be empty. The tower's, which the
/// original never trains, come last where there are any.
/// Source: LLaVA 1.2.2 `llava/train/llava_trainer.py`, create_optimizer.
std::vector<ParameterGroup> make_groups(const std::vector<TrainedParameter>& parameters,
                                        const GroupRates& rates);

}  // namespace llava::train
