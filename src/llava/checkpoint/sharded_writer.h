// SPDX-License-Identifier: Apache-2.0
//
// Writing the weights of a checkpoint folder as transformers' save_pretrained does: one
// model.safetensors, or shards with an index.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "llava/checkpoint/planned_tensor.h"
#include "llava/core/progress.h"

namespace llava::checkpoint {

/// A tensor to write. `load` is called once, when its turn comes, so that no more than one tensor
/// need be in memory.
struct WeightToWrite {
  PlannedTensor tensor;
  std::function<Tensor()> load;
};

/// Tensors in memory as weights to write. Of names that share the same memory, such as a head tied
/// to the embedding table, one is kept: the first that is not the head's (lm_head.weight).
std::vector<WeightToWrite> weights_to_write(
    const std::vector<std::pair<std::string, Tensor>>& tensors);

struct ShardedWriteOptions {
  /// Bytes of tensors a shard may hold; a larger tensor has a shard of its own. transformers'
  /// "5GB".
  uint64_t max_shard_bytes = 5'000'000'000;
  /// Reports bytes written of all bytes; may be empty.
  ProgressCallback on_progress;
};

/// Writes model.safetensors, or model-0000k-of-0000n.safetensors with
/// model.safetensors.index.json, into an existing folder. A new shard begins where the next tensor,
/// in the order given, would not fit.
///
/// All files are brought to the disk beside those they replace and renamed when the last one is
/// safe; weights of another name that would be read instead (other shards, another index) are
/// removed then. Whatever fails before leaves the old files as they were.
/// Dtype: float and integer types, kept.
/// Throws: Error(kInvalidArgument) for a name given twice, no weights, or a folder whose
/// model.llava would hide them; Error(kUnsupported) for a packed type; Error(kNotFound) for a
/// missing folder; Error(kResourceExhausted) when the disk has no room, which is asked first, or
/// refuses; what `load` throws.
/// Threads: calls `load` from the calling thread.
/// Source: transformers 4.37 `shard_checkpoint`.
void write_sharded_weights(const std::filesystem::path& folder,
                           const std::vector<WeightToWrite>& weights,
                           const ShardedWriteOptions& options = {});

}  // namespace llava::checkpoint
