// SPDX-License-Identifier: Apache-2.0
//
// A LoRA or projector-only folder and its base as one checkpoint that needs neither.
#pragma once

#include <cstdint>
#include <string>

#include "llava/core/config.h"
#include "llava/core/progress.h"
#include "llava/core/thread_pool.h"

namespace llava::engine {

/// What to merge and where the result goes: the flags of the original's merge_lora_weights, and
/// ours.
struct MergeLoraRequest {
  std::string model_path;
  std::string model_base;
  std::string save_model_path;
  std::string vision_tower;
  std::string compat = "intended";
  bool skip_base_check = false;
  int64_t max_shard_bytes = 5'000'000'000;

  template <class V>
  void describe(V& v) {
    v.required("model-path", model_path, "LoRA or projector-only folder, or org/name of the hub");
    v.required("model-base", model_base, "base it was trained on: a folder, or org/name");
    v.required("save-model-path", save_model_path, "folder to write");
    v.field("vision-tower", vision_tower,
            "folder of the vision tower, instead of the place config.json names");
    v.field("compat", compat,
            "intended: merged in float32, rounded once to the base's type; reference: the "
            "published float16 rule bit for bit, everything in float16, the tower included",
            one_of({"intended", "reference"}));
    v.field("skip-base-check", skip_base_check,
            "merge although the base's weights are not those the adapter was trained on");
    v.field("max-shard-bytes", max_shard_bytes, "bytes of tensors a weight file may have",
            at_least(int64_t{1}));
  }
};

struct MergeLoraReport {
  std::string output;
  int64_t num_merged = 0;        ///< matrices an adapter was added to
  int64_t num_tensors = 0;       ///< written
  uint64_t bytes = 0;            ///< of them
  bool is_base_checked = false;  ///< the adapter has a hash of its base, and it is this one's
  double seconds = 0;
};

/// Merges tensor by tensor into a folder beside the output, which is renamed when all is done:
/// config.json of the adapter's folder, weights, generation_config.json, tokenizer and processor of
/// the base. Reports bytes, those read to check the base first.
///
/// Dtype: what the base stores; what was trained besides takes the base's type of its tensor, else
/// of the language model. The tower is written where the base or the adapter holds one.
/// Throws: Error(kInvalidArgument) for a folder that is neither LoRA nor projector-only, an output
/// that exists or is one of the inputs, a name that the original takes for an adapter's, and a base
/// of another hash; Error(kUnsupported) for a base that is GGUF or a packed store;
/// Error(kResourceExhausted); what reading the checkpoint throws.
/// Source: LLaVA 1.2.2 scripts/merge_lora_weights.py.
MergeLoraReport merge_lora(ThreadPool& pool, const MergeLoraRequest& request,
                           const ProgressCallback& on_progress = {});

}  // namespace llava::engine
