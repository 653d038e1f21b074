// SPDX-License-Identifier: Apache-2.0
//
// A whole checkpoint folder that a conversion reads: its configuration and its weights as they are
// stored.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "llava/checkpoint/config_json.h"
#include "llava/checkpoint/tensor_source.h"
#include "llava/core/json.h"

namespace llava::engine {

struct SourceFolder {
  std::filesystem::path path;
  checkpoint::CheckpointDescription description;
  /// Under the names in the files, without buffers that nobody reads and without a vision tower
  /// that loading leaves aside (unfreeze_mm_vision_tower is not set).
  std::shared_ptr<const checkpoint::TensorSource> weights;
};

/// Opens a folder, or a model of the hub's cache. `flag` names it in messages.
///
/// Throws: Error(kNotFound); Error(kInvalidArgument) for an adapter or a projector alone;
/// Error(kUnsupported) for quantised weights; what the readers throw.
SourceFolder open_source_folder(const std::string& path, std::string_view flag);

/// Throws: Error(kInvalidArgument) when a conversion would write into what it reads.
void require_other_folder(const std::filesystem::path& target, std::string_view target_flag,
                          const std::filesystem::path& source, std::string_view source_flag);

/// config.json of the same model whose weights are of `dtype`. A LLaVA of the first year, which
/// calls itself a plain LLaMA, gets its class (the original asks for leave, because it changes the
/// folder it reads).
///
/// Throws: what reading the file throws.
/// Source: LLaVA 1.2.2 `auto_upgrade`; its "llava" is another model's type in current
/// transformers, so the type is that of the class, "llava_llama".
OrderedJson converted_config(const SourceFolder& source, DType dtype);

/// Writes configuration, generation settings, tokenizer and processor of `source`.
///
/// Throws: Error(kResourceExhausted) when the disk refuses; what reading the files throws.
void write_small_files(const SourceFolder& source, const std::filesystem::path& folder,
                       DType dtype);

}  // namespace llava::engine
