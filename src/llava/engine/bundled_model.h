// SPDX-License-Identifier: Apache-2.0
//
// Where the model lies that answers when no other is named.
#pragma once

#include <filesystem>

namespace llava::engine {

/// The bundled checkpoint and its base language model.
struct BundledModel {
  std::filesystem::path checkpoint;
  std::filesystem::path base;
};

/// Finds both: the checkpoint in share/llava/models beside the program or in the source tree it was
/// built from, the base there or in the user's cache ($XDG_CACHE_HOME/llava/models).
///
/// Throws: Error(kNotFound) listing the places tried and the command that fetches it.
BundledModel find_bundled_model();

}  // namespace llava::engine
