// SPDX-License-Identifier: Apache-2.0
//
// From the paths a user gives to the folder, base and description of a checkpoint.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "llava/checkpoint/config_json.h"

namespace llava::engine {

/// Where a checkpoint lies and what it is; nothing of it is loaded.
struct CheckpointPlace {
  std::filesystem::path path;  ///< folder, or a GGUF file
  std::filesystem::path base;  ///< of LoRA and projector-only checkpoints; folder or GGUF file
  std::string name;            ///< model name by the original's rule
  checkpoint::CheckpointDescription description;

  /// Where tokenizer and language model weights are.
  const std::filesystem::path& language_model() const { return base.empty() ? path : base; }
  bool is_gguf(const std::filesystem::path& file) const {
    return !std::filesystem::is_directory(file);
  }
};

/// What one path of the user's is: a folder or file here, else the snapshot of a model of the hub
/// in its cache. `flag` names the path in messages.
///
/// Throws: Error(kNotFound) naming what was looked for; Error(kInvalidArgument) for a snapshot of
/// several GGUF files.
std::filesystem::path resolve_model_path(const std::string& path, std::string_view flag);

/// Resolves paths: a folder, a GGUF file, a model of the hub ("org/name", "org/name@revision") that
/// its cache holds; nothing at all is the bundled model. What exists as a path goes before what is
/// called so on the hub. The base of a LoRA folder is the one it names when none is given and the
/// cache has that. Logs where the published program would have gone by the name alone.
///
/// Throws: Error(kNotFound) naming what was looked for; Error(kInvalidArgument) when a base is
/// needed and missing, or given and useless; what reading the configuration throws.
/// Without `requires_base` a missing base is left for the caller to report.
CheckpointPlace locate_checkpoint(const std::string& model_path, const std::string& model_base,
                                  const std::string& model_name, bool requires_base = true);

/// Folder of the vision tower of a checkpoint in the original layout, or an empty path when it is a
/// published CLIP tower whose shape is known and whose weights are in the checkpoint.
std::filesystem::path locate_vision_tower(const CheckpointPlace& place,
                                          const std::string& explicit_folder);

}  // namespace llava::engine
