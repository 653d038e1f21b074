// SPDX-License-Identifier: Apache-2.0
//
// The weights of a LoRA directory: adapter pairs by module, and the other trained parameters.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "llava/checkpoint/adapter_config.h"
#include "llava/checkpoint/tensor_source.h"

namespace llava::checkpoint {

/// One adapter: the module's weight W acts as W + scale * B * A.
struct LoraPair {
  Tensor a;  ///< [r, in]
  Tensor b;  ///< [out, r]
  float scale = 1.0f;
};

/// What an adapter file holds.
struct LoraWeights {
  /// By the module's canonical path without ".weight": "model.layers.0.self_attn.q_proj".
  std::map<std::string, LoraPair> pairs;
  /// Parameters that replace the base's outright (modules_to_save, trained biases), by canonical
  /// name.
  std::map<std::string, Tensor> replacements;
};

/// Reads adapter_model.safetensors or adapter_model.bin.
///
/// Throws: Error(kNotFound) when there is none; Error(kBadFormat) for an A without B, a rank other
/// than the configuration's, or a key that means nothing here; Error(kUnsupported) for DoRA vectors
/// and embedding adapters.
LoraWeights read_lora_weights(const std::filesystem::path& folder, const AdapterConfig& config);

/// adapter_model.safetensors or adapter_model.bin, whichever the folder has.
///
/// Throws: Error(kNotFound) when there is none.
std::filesystem::path find_adapter_file(const std::filesystem::path& folder);

/// The same from an open source; `what` names it in messages.
LoraWeights read_lora_weights(const TensorSource& source, const AdapterConfig& config,
                              std::string_view what);

/// The trained parameters that are no adapters, non_lora_trainables.bin, under canonical names;
/// null when the folder has no such file.
std::shared_ptr<const TensorSource> open_non_lora_trainables(const std::filesystem::path& folder);

/// Names of non_lora_trainables.bin made canonical, as the original's loader does.
std::shared_ptr<const TensorSource> normalize_non_lora_names(
    std::shared_ptr<const TensorSource> source);

/// mm_projector.bin of a projector-only folder under canonical names. Keys that are neither the
/// projector's nor the embedding table's are left out with a warning.
///
/// Throws: Error(kBadFormat) when it holds no projector.
std::shared_ptr<const TensorSource> open_projector_file(const std::filesystem::path& folder);

}  // namespace llava::checkpoint
