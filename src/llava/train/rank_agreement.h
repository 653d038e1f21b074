// SPDX-License-Identifier: Apache-2.0
//
// What the ranks of a run have to have in common before it begins.
#pragma once

#include <filesystem>
#include <optional>
#include <span>

#include "llava/train/rank_group.h"
#include "llava/train/run_state.h"
#include "llava/train/train_config.h"
#include "llava/train/trained_parameter.h"

namespace llava::train {

/// Throws: kInvalidArgument where a rank was started with other flags, but for those that may be a
/// rank's own (device, threads). Called by all ranks.
void require_same_flags(RankGroup& group, const TrainConfig& config);
/// Throws: kInvalidArgument where a rank's parameters have other values. Called by all ranks.
void require_same_values(RankGroup& group, std::span<const TrainedParameter> parameters);

/// The checkpoint that all ranks go on from: the one that rank 0 finds, if there is one.
/// Throws: kNotFound where a rank does not see it. Called by all ranks.
std::optional<std::filesystem::path> common_checkpoint(RankGroup& group, const TrainConfig& config);

}  // namespace llava::train
