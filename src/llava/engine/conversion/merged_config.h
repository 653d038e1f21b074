// SPDX-License-Identifier: Apache-2.0
//
// config.json of a checkpoint that an adapter and its base were merged into.
#pragma once

#include <cstdint>
#include <filesystem>

#include "llava/core/json.h"
#include "llava/engine/checkpoint_place.h"
#include "llava/engine/checkpoint_text.h"

namespace llava::engine {

/// What the merged folder differs in from the adapter's.
struct MergedConfig {
  DType dtype = DType::kFloat16;   ///< of the language model
  bool has_tower_weights = false;  ///< and they are to be used instead of the tower's own
  int64_t vocab_size = 0;          ///< rows of the tables
  std::filesystem::path target;
};

/// The adapter folder's configuration as that of a whole model: class and type of the weights, and
/// what its base or its name said until now (tied head, tokenizer form, conversation template).
///
/// Throws: what reading the file throws.
OrderedJson merged_config(const CheckpointPlace& place, const CheckpointText& text,
                          const MergedConfig& merged);

}  // namespace llava::engine
