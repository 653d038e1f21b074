// SPDX-License-Identifier: Apache-2.0
//
// Where the model lies that answers when no other is named.
#pragma once

#include <filesystem>

namespace llava::engine {

/// Folder of the bundled checkpoint: in `models_folder`, if any, in share/llava/models beside the
/// program's own folder, or in the user's cache ($XDG_CACHE_HOME/llava/models).
///
/// Throws: Error(kNotFound) listing the places tried.
std::filesystem::path find_bundled_checkpoint(const std::filesystem::path& models_folder = {});

/// File of its language model, in the same places.
///
/// Throws: Error(kNotFound) listing the places tried and the command that fetches it.
std::filesystem::path find_bundled_base(const std::filesystem::path& models_folder = {});

}  // namespace llava::engine
