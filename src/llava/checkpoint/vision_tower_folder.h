// SPDX-License-Identifier: Apache-2.0
//
// Where a vision tower that a checkpoint names lies on this machine. Nothing is downloaded.
#pragma once

#include <filesystem>
#include <string>

namespace llava::checkpoint {

/// What is known about the tower's place.
struct VisionTowerQuery {
  std::string name;                         ///< mm_vision_tower: a path or a hub name "org/name"
  std::filesystem::path checkpoint_folder;  ///< the folder whose config.json names it
  std::filesystem::path explicit_folder;    ///< --vision-tower; empty when not given
  std::filesystem::path models_root;        ///< folder of models by name; empty when not given
};

/// The folder (one with a config.json) of a vision tower: the explicit one; else the name as a
/// path inside the checkpoint's folder, beside it, in the current folder; else below the models
/// root as org/name and name; else in the hub's cache (hub_cache.h). The place used is logged.
///
/// Throws: Error(kNotFound) listing everything that was tried.
std::filesystem::path resolve_vision_tower(const VisionTowerQuery& query);

}  // namespace llava::checkpoint
