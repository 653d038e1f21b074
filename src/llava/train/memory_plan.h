// SPDX-License-Identifier: Apache-2.0
//
// What memory a run will take at most, part by part, before anything is loaded.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "llava/checkpoint/load_model.h"
#include "llava/data/epoch_order.h"
#include "llava/train/train_config.h"
#include "llava/train/training_data.h"

namespace llava::train {

/// One part of the bytes.
struct MemoryPart {
  std::string what;
  int64_t num_bytes = 0;
};

/// A run's memory at the moment when it is most.
struct MemoryPlan {
  std::string moment;  ///< "in the backward pass"
  std::vector<MemoryPart> parts;
  int64_t present_bytes = 0;  ///< of these, what the process holds already

  int64_t total() const;
};

/// What a plan is made from; all of it outlives the call.
struct PlanInputs {
  Context& ctx;  ///< backend: LibTorch, recording
  const model::LlavaConfig& shape;
  const checkpoint::ModelWeights& weights;
  /// Samples of the micro-batch with the most positions, for a configuration.
  std::function<std::vector<SamplePtr>(const TrainConfig& config)> largest_batch;
};

/// The plan of a configuration. Weights, gradients and moments are counted by their shapes,
/// activations measured (activation_probe.h), which takes about as long as one step of a model of
/// three layers.
///
/// Units: bytes of this process, mapped files that it reads included.
/// Throws: what the probe throws.   Threads: one thread.
MemoryPlan plan_memory(const PlanInputs& inputs, const TrainConfig& config);

/// A change of flags that takes less memory, and what it saves.
struct MemorySaving {
  std::string flags;  ///< "--gradient_checkpointing True"
  int64_t num_bytes = 0;
};
/// Changes that a configuration still has before it, the one that saves most first.
std::vector<MemorySaving> memory_savings(const PlanInputs& inputs, const TrainConfig& config,
                                         const MemoryPlan& plan);

/// The plan and the savings as lines of a table.
std::string to_table(const MemoryPlan& plan, std::span<const MemorySaving> savings);

/// Throws: Error(kResourceExhausted) with the table of parts and the flags that would help when a
/// run on the processor needs more than is available.
void require_memory(const PlanInputs& inputs, const TrainConfig& config, const MemoryPlan& plan);

/// The samples of the micro-batch with the most positions among the first `num_batches` of a run:
/// lengths[i] is that of sample i.
std::vector<int64_t> largest_batch(const data::OrderOptions& order,
                                   std::span<const int32_t> lengths, int64_t num_batches);

}  // namespace llava::train
