// SPDX-License-Identifier: Apache-2.0
//
// An engine for a checkpoint: plans the memory of its caches and starts it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "llava/core/config.h"
#include "llava/engine/engine.h"
#include "llava/engine/parallel/model_ranks.h"
#include "llava/engine/pretrained.h"

namespace llava::engine {

/// How the engine works and what its caches may hold.
struct EngineOptions {
  EngineConfig config = {.max_draft_tokens = 8};
  int32_t kv_cache_tokens = 0;
  int32_t encoder_cache_mb = 1024;
  std::string kv_dtype = "auto";
  std::string draft_model;
  std::string cache_dir;
  int32_t cache_size_mb = 4096;

  /// What matters for one answer at a time.
  template <class V>
  void describe_single(V& v) {
    v.field("max-draft-tokens", config.max_draft_tokens,
            "tokens guessed ahead (speculative decoding, same answers), from the text where it "
            "repeats itself and from --draft-model; 0: none",
            in_range(0, 16));
    v.field("draft-model", draft_model,
            "smaller text model with the same tokenizer (folder, GGUF or org/name) whose guesses "
            "the model verifies (same answers)");
    v.field("kv-dtype", kv_dtype,
            "type of the KV cache: auto is float16 beside packed weights, else the compute type",
            one_of({"auto", "f32", "f16", "bf16", "int8", "float32", "float16", "bfloat16"}));
    v.field("cache-dir", cache_dir,
            "folder in which the features of pictures and pinned prompts outlive the program; any "
            "number of programs and models may share it");
    v.field("cache-size-mb", cache_size_mb,
            "what that folder may hold; what was used longest ago leaves first",
            in_range(1, 1 << 30));
  }

  template <class V>
  void describe(V& v) {
    config.describe(v);
    v.field("kv-cache-tokens", kv_cache_tokens,
            "tokens that the KV cache holds; 0: twice the model's context, or what fits",
            at_least(0));
    v.field("encoder-cache-mb", encoder_cache_mb, "memory for the features of pictures",
            in_range(1, 1 << 20));
    describe_single(v);
  }
};

/// The type of the KV cache that the options ask for.
DType choose_kv_dtype(const model::LlavaModel& model, const std::string& name);

/// Opens the draft model that the options name; nothing when they name none.
///
/// Throws: what load_pretrained throws, naming --draft-model; Error(kInvalidArgument) when its
/// vocabulary is not that of `pretrained`.
std::unique_ptr<Pretrained> load_draft_model(Context& ctx, const Pretrained& pretrained,
                                             const EngineOptions& options);

/// Starts an engine with one replica for each of `contexts`, which share the weights. What the
/// contexts refer to, `pretrained` and `draft`, which may be null, outlive it; from now on the
/// backends are the engine's. With a cache folder all weights are read once, for the identity of
/// what is in it. With `ranks`, which outlives the engine too, there is one replica, `pretrained`
/// is the first rank's share of a model, and the others do theirs.
///
/// Throws: Error(kNotFound) when the cache folder cannot be used; Error(kResourceExhausted) with
/// the sum when a KV cache of `least_tokens` does not fit beside what a step works with.
std::unique_ptr<Engine> open_engine(const std::vector<Context>& contexts,
                                    const Pretrained& pretrained, const EngineOptions& options,
                                    int64_t least_tokens, const Pretrained* draft = nullptr,
                                    LeadingRank* ranks = nullptr);

}  // namespace llava::engine
