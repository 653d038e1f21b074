// SPDX-License-Identifier: Apache-2.0
//
// What a checkpoint needs besides its own folder: the vision tower and the base that it names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "llava/checkpoint/hub_cache.h"

namespace llava::hub {

/// Another model that a checkpoint needs.
struct ModelPart {
  checkpoint::HubName name;
  bool has_weights = true;  ///< false: only what describes it is wanted
};

/// What is wanted of the parts. A base or tower that was given is not.
struct WantedParts {
  bool tower = true;
  bool base = true;
  bool weights = true;
};

/// The wanted parts that a checkpoint's folder names as models of the hub and that are not on this
/// machine: mm_vision_tower of config.json, base_model_name_or_path of adapter_config.json. Of a
/// tower whose weights are in the checkpoint none are wanted. Files that cannot be read name
/// nothing; opening the checkpoint says what is wrong.
std::vector<ModelPart> missing_parts(const std::filesystem::path& folder,
                                     const WantedParts& wanted);

/// Whether a folder has the weights it should: all shards, or its adapters or projector. One
/// without is what other programs leave that wanted the configuration or the tokenizer only.
bool has_all_weights(const std::filesystem::path& folder);

}  // namespace llava::hub
