// SPDX-License-Identifier: Apache-2.0
//
// Delta weights: a model published as its difference from a base that may not be passed on.
#pragma once

#include <cstdint>
#include <string>

#include "llava/core/config.h"
#include "llava/core/progress.h"
#include "llava/engine/conversion/consolidate.h"

namespace llava::engine {

/// The flags of the original's llava.model.make_delta.
struct MakeDeltaRequest {
  std::string base_model_path;
  std::string target_model_path;
  std::string delta_path;
  int64_t max_shard_bytes = 5'000'000'000;

  template <class V>
  void describe(V& v) {
    v.required("base-model-path", base_model_path, "base: a folder, or org/name of the hub");
    v.required("target-model-path", target_model_path, "model to publish, made from that base");
    v.required("delta-path", delta_path, "folder to write the difference to");
    v.field("max-shard-bytes", max_shard_bytes, "bytes of tensors a weight file may have",
            at_least(int64_t{1}));
  }
};

/// The flags of the original's llava.model.apply_delta.
struct ApplyDeltaRequest {
  std::string base_model_path;
  std::string target_model_path;
  std::string delta_path;
  int64_t max_shard_bytes = 5'000'000'000;

  template <class V>
  void describe(V& v) {
    v.required("base-model-path", base_model_path, "base: a folder, or org/name of the hub");
    v.required("target-model-path", target_model_path, "folder to write the model to");
    v.required("delta-path", delta_path, "published delta weights: a folder, or org/name");
    v.field("max-shard-bytes", max_shard_bytes, "bytes of tensors a weight file may have",
            at_least(int64_t{1}));
  }
};

/// target - base, tensor by tensor in float16. What the base lacks must be the projector's and
/// stays as it is; where embed_tokens or lm_head have other shapes, the base is subtracted from
/// their first rows and columns. Configuration and tokenizer are the target's. Reports bytes.
///
/// Throws: Error(kBadFormat) naming a tensor that does not go with the base, with both shapes;
/// Error(kInvalidArgument) for an output that exists or is an input, and for adapters;
/// Error(kUnsupported) for quantised weights; Error(kResourceExhausted); what reading throws.
/// Source: LLaVA 1.2.2 llava/model/make_delta.py, whose projector has one layer; ours may have
/// more.
ConversionReport make_delta(const MakeDeltaRequest& request,
                            const ProgressCallback& on_progress = {});

/// base + delta: the reverse, with the delta's configuration and tokenizer. Throws: as above.
/// Source: LLaVA 1.2.2 llava/model/apply_delta.py.
ConversionReport apply_delta(const ApplyDeltaRequest& request,
                             const ProgressCallback& on_progress = {});

}  // namespace llava::engine
