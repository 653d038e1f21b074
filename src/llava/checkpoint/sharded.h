// SPDX-License-Identifier: Apache-2.0
//
// The weights of a checkpoint folder: one file or several shards with an index, whatever the
// container.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "llava/checkpoint/tensor_source.h"

namespace llava::checkpoint {

/// Opens one file of tensors: safetensors, PyTorch zip, GGUF or a packed store, told apart by
/// content.
///
/// Throws: Error(kNotFound), Error(kBadFormat) or Error(kUnsupported), naming the file.
std::shared_ptr<const TensorSource> open_tensor_file(const std::filesystem::path& path);

/// The weight file or index of a folder: model.llava, else in the order of the published software
/// model.safetensors, model.safetensors.index.json, pytorch_model.bin,
/// pytorch_model.bin.index.json. Nothing if there is none of them.
std::optional<std::filesystem::path> find_weights(const std::filesystem::path& folder);

/// Opens the full weights of a folder (find_weights), or one weight file such as a GGUF.
///
/// Throws: Error(kNotFound) when there are none or a shard is missing, naming it; Error(kBadFormat)
/// for an index that names files outside the folder or tensors its shards lack;
/// Error(kUnsupported) for files that were quantised when saved.
std::shared_ptr<const TensorSource> open_weights(const std::filesystem::path& path);

/// Several sources seen as one.
///
/// Throws: Error(kBadFormat) when two hold the same name.
std::shared_ptr<const TensorSource> unite_sources(
    std::vector<std::shared_ptr<const TensorSource>> parts);

}  // namespace llava::checkpoint
