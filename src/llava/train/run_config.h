// SPDX-License-Identifier: Apache-2.0
//
// The config.json of a training run: that of its base with what training settles. The model is
// built from it, and it is what the run's folders hold.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "llava/train/train_config.h"

namespace llava::train {

/// Adds what a run with a vision tower of `vision_width` channels writes to its base's config
/// ("mm_vision_tower", "mm_projector_type", ..., "model_type"). Without a tower the base's stays
/// as it is.
///
/// Throws: Error(kUnsupported) for a base of a family that has no LLaVA; Error(kInvalidArgument)
/// when the base has a projector of another type than --mm-projector-type asks for, in intended
/// mode (the original then records a wrong type).
/// Source: LLaVA 1.2.2 `llava/train/train.py` and `llava_arch.py`; docs/training.md, "Files".
nlohmann::json make_run_config(const nlohmann::json& base, const TrainConfig& config,
                               int32_t vision_width, std::string_view source);

}  // namespace llava::train
