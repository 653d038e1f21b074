// SPDX-License-Identifier: Apache-2.0
//
// CachedModel: a model with a KV cache whose sequences can be taken back to an earlier length, so
// that the same step can be measured again and again.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llava/engine/kv_blocks.h"
#include "llava/engine/kv_pages.h"
#include "llava/model/llava_model.h"

namespace llava::engine {

/// The pages of one sequence and how many of their tokens count.
struct CachedSequence {
  std::vector<int32_t> pages;
  int32_t num_tokens = 0;
};

/// Threads: one thread at a time.
class CachedModel {
 public:
  /// Room for one sequence of `num_tokens` or, in its place, `num_sequences` sequences of
  /// `tokens_per_sequence`.
  ///
  /// Throws: Error(kResourceExhausted) when the cache does not fit.
  CachedModel(Context& ctx, const model::LlavaModel& model, DType kv_dtype, int64_t num_tokens,
              int64_t tokens_per_sequence, int64_t num_sequences);

  const model::LlavaModel& model() const { return model_; }
  Context& context() { return ctx_; }

  /// Appends embeddings to a sequence. Shapes: x_TD -> host float32 logits of the last row [V].
  std::vector<float> append(CachedSequence& sequence, const Tensor& x_TD);
  std::vector<float> append(CachedSequence& sequence, std::span<const int32_t> ids);

  /// Appends one token to each sequence, all in one batch. -> host float32 logits [S, V].
  Tensor step(std::span<CachedSequence> sequences, std::span<const int32_t> ids);

  /// Forgets the tokens after the first `num_tokens`; their pages stay with the sequence.
  static void rewind(CachedSequence& sequence, int32_t num_tokens);
  void release(CachedSequence& sequence);

 private:
  /// Makes room for more tokens and describes them as rows [first_token, ...) of a batch.
  SequenceSlice extend(CachedSequence& sequence, int32_t num_new, int32_t first_token);

  Context& ctx_;
  const model::LlavaModel& model_;
  KvBlocks blocks_;
  KvPages pages_;
};

/// The place of the largest logit.
///
/// Throws: Error(kBadFormat) when it is not a finite number.
int32_t most_likely(std::span<const float> logits);

}  // namespace llava::engine
