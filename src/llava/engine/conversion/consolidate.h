// SPDX-License-Identifier: Apache-2.0
//
// A checkpoint written again, whole and in one type.
#pragma once

#include <cstdint>
#include <string>

#include "llava/core/config.h"
#include "llava/core/progress.h"

namespace llava::engine {

/// The flags of the original's llava.model.consolidate, and ours.
struct ConsolidateRequest {
  std::string src;
  std::string dst;
  std::string dtype = "float16";
  int64_t max_shard_bytes = 5'000'000'000;

  template <class V>
  void describe(V& v) {
    v.required("src", src, "checkpoint to read: a folder, or org/name of the hub");
    v.required("dst", dst, "folder to write");
    v.field("dtype", dtype, "type of the weights, float16 as the original's; auto keeps each one's",
            one_of({"float16", "bfloat16", "float32", "auto"}));
    v.field("max-shard-bytes", max_shard_bytes, "bytes of tensors a weight file may have",
            at_least(int64_t{1}));
  }
};

/// What a conversion wrote.
struct ConversionReport {
  std::string output;
  int64_t num_tensors = 0;
  uint64_t bytes = 0;
  double seconds = 0;
};

/// Reads a checkpoint in any container and writes it as safetensors, with everything but the
/// weights as it was; a vision tower that loading would leave aside is left out. Reports bytes.
///
/// Throws: Error(kInvalidArgument) for an output that exists or is the source, and for adapters;
/// Error(kUnsupported) for quantised weights; Error(kResourceExhausted); what reading throws.
/// Source: LLaVA 1.2.2 llava/model/consolidate.py.
ConversionReport consolidate(const ConsolidateRequest& request,
                             const ProgressCallback& on_progress = {});

}  // namespace llava::engine
