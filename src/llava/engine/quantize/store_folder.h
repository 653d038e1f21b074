// SPDX-License-Identifier: Apache-2.0
//
// The small files of a checkpoint beside a packed store: its configuration, tokenizer and picture
// rules, so that the folder needs no other.
#pragma once

#include <filesystem>
#include <string>

#include "llava/engine/checkpoint_place.h"
#include "llava/engine/checkpoint_text.h"

namespace llava::engine {

/// Writes the files of the checkpoint at `place`, all but the weights, into `folder`. `place` has
/// learned from the weights whether the head is tied; `tower_folder` may be empty.
///
/// Throws: Error(kResourceExhausted) when the disk refuses; what reading the files throws.
void write_store_folder(const std::filesystem::path& folder, const CheckpointPlace& place,
                        const std::filesystem::path& tower_folder, const CheckpointText& text);

}  // namespace llava::engine
