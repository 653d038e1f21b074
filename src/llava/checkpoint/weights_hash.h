// SPDX-License-Identifier: Apache-2.0
//
// One number for the weights of a model, whatever files they lie in: what an adapter was trained
// on, to be recognised where it is merged.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "llava/checkpoint/tensor_source.h"
#include "llava/core/progress.h"
#include "llava/core/thread_pool.h"

namespace llava::checkpoint {

/// The key of adapter_model.safetensors' metadata (and of adapter_config.json, where PEFT before
/// 0.14 refuses keys it does not know) that holds the hash of the base.
inline constexpr std::string_view kBaseWeightsHashKey = "base_weights_sha256";

/// SHA-256 of all weights as 64 hexadecimal digits: over the lines "name\ntype\nshape\nSHA-256 of
/// the bytes\n" of every tensor, in the order of the names' bytes. A head (lm_head.weight) that
/// equals the embedding table is left out, because some files have a tied head and some have not.
/// Files, shards and containers do not matter.
///
/// Reports bytes done.
/// Threads: reads and hashes on the pool, or on the calling thread without one.
/// Throws: what the source throws.
std::string weights_sha256(const TensorSource& weights, ThreadPool* pool = nullptr,
                           const ProgressCallback& on_progress = {});

/// The same of a folder or weight file, under the original's names and without the buffers that
/// nobody reads (is_ignorable_key).
///
/// Throws: what open_weights throws.
std::string base_weights_sha256(const std::filesystem::path& base, ThreadPool* pool = nullptr,
                                const ProgressCallback& on_progress = {});

/// The hash that an adapter folder has of its base; empty where it has none.
///
/// Throws: Error(kBadFormat) when it is no 64 hexadecimal digits, or file and configuration
/// disagree; what reading the folder throws.
std::string expected_base_sha256(const std::filesystem::path& adapter_folder);

}  // namespace llava::checkpoint
