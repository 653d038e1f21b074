// SPDX-License-Identifier: Apache-2.0
//
// DeepSpeed's configuration files, as far as they change what a run computes.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "llava/train/train_config.h"

namespace llava::train {

/// What a file settles; without one the defaults.
struct DeepSpeedConfig {
  bool is_given = false;
  int32_t zero_stage = 0;
  bool offloads = false;
  /// Norm that gradients are clipped to; nothing: none, as in the published zero2 and zero3 files.
  std::optional<double> clipping;
  /// The file names an optimizer: one group of all parameters, one rate.
  bool has_optimizer = false;
  /// The file names WarmupLR: a logarithmic warm-up to a constant rate instead of
  /// --lr-scheduler-type.
  bool has_warmup_scheduler = false;
};

/// Numbers of a run that a file may state instead of "auto".
struct DeepSpeedRun {
  int32_t world_size = 1;
  int64_t num_warmup_steps = 0;
  int64_t num_steps = 0;
};

/// Reads a configuration: "auto" stands for what the flags say, any other value has to equal it.
///
/// Throws: Error(kInvalidArgument) listing every value that disagrees with the flags;
/// Error(kBadFormat) for wrong types; Error(kUnsupported) for a scheduler or optimizer that is not
/// built here.
/// Source: transformers 4.37 `integrations/deepspeed.py`; docs/training.md, "DeepSpeed files".
DeepSpeedConfig read_deepspeed_config(const nlohmann::json& json, std::string_view source,
                                      const TrainConfig& config, const DeepSpeedRun& run);

/// The file of --deepspeed, or the defaults without one: clipping to --max-grad-norm.
DeepSpeedConfig open_deepspeed_config(const TrainConfig& config, const DeepSpeedRun& run);

}  // namespace llava::train
