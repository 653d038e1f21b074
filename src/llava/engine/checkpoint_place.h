// SPDX-License-Identifier: Apache-2.0
//
// From the paths a user gives to the folder, base and description of a checkpoint.
#pragma once

#include <filesystem>
#include <string>

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

/// Resolves paths: a folder, a GGUF file, a name in the local hub cache; nothing at all is the
/// bundled model. Logs where the published program would have gone by the name alone.
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
