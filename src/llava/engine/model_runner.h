// SPDX-License-Identifier: Apache-2.0
//
// ModelRunner: the network with its KV cache, seen as sequences of tokens.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "llava/engine/kv_cache.h"
#include "llava/engine/token_model.h"
#include "llava/model/llava_model.h"

namespace llava::engine {

/// A prompt as the model takes it: ids with placeholders, and the pictures that fill them.
struct PromptInputs {
  std::span<const int32_t> ids;
  std::span<const model::FeatureRun> runs;
  /// All pictures' tiles, host float32 [I, C, S, S]; undefined when there is no picture.
  Tensor pixels_ICHW;
  std::span<const image::ImageLayout> layouts;
};

/// Runs one request's sequences. The cache is sized when the runner is made, so that nothing is
/// allocated per token.
///
/// Threads: one thread at a time.
class ModelRunner final : public TokenModel {
 public:
  /// Room for `num_sequences` sequences that share `num_prompt_tokens` and add up to
  /// `num_new_tokens` each.
  ///
  /// Throws: Error(kResourceExhausted) when the cache does not fit.
  ModelRunner(Context& ctx, const model::LlavaModel& model, int64_t num_prompt_tokens,
              int64_t num_new_tokens, int32_t num_sequences);

  /// Embeds a prompt: tower, projector, merge, scatter. -> [T, D].
  Tensor embed(const PromptInputs& prompt, const model::Observer& observer = {}) const;

  /// Runs the decoder over prompt embeddings and starts a sequence; `logits` receives those of the
  /// last position.
  int32_t prefill(const Tensor& embeds_TD, std::vector<float>& logits);

  std::vector<std::vector<float>> step(std::span<const SequenceToken> tokens) override;
  int32_t fork(int32_t sequence) override;
  void release(int32_t sequence) override;

 private:
  Context& ctx_;
  const model::LlavaModel& model_;
  KvCache cache_;
  std::map<int32_t, KvSequence> sequences_;
  int32_t next_sequence_ = 0;
};

}  // namespace llava::engine
