// SPDX-License-Identifier: Apache-2.0
//
// The KV cache: pages of keys and values of every layer, and the sequences that own them.
#pragma once

#include <cstdint>
#include <vector>

#include "llava/engine/kv_blocks.h"
#include "llava/model/config.h"
#include "llava/tensor/ops.h"

namespace llava::engine {

/// Tokens in one page.
inline constexpr int32_t kKvPageSize = 64;

/// The pages of one sequence and how many of their tokens are written.
struct KvSequence {
  std::vector<int32_t> pages;
  int32_t num_tokens = 0;
};

/// Pages for `num_pages * kKvPageSize` tokens.
///
/// Threads: one thread at a time.
class KvCache {
 public:
  /// Throws: Error(kResourceExhausted) when the memory is not to be had.
  KvCache(Context& ctx, const model::DecoderConfig& config, DType dtype, int32_t num_pages);

  /// Pages that hold `num_tokens` tokens.
  static int32_t pages_for(int64_t num_tokens);
  /// Bytes of keys and values of one token over all layers.
  static int64_t bytes_per_token(const model::DecoderConfig& config, DType dtype);

  /// Makes room for `num_new` more tokens and describes them as rows [first_token, ...) of a batch.
  SequenceSlice extend(KvSequence& sequence, int32_t num_new, int32_t first_token);
  /// A second sequence with the same tokens; full pages are shared, the last part is copied.
  KvSequence fork(Context& ctx, const KvSequence& sequence);
  /// Gives the pages back.
  void release(KvSequence& sequence);

  KvCacheView view() { return {layers_}; }

 private:
  void copy_page(Context& ctx, int32_t from, int32_t to, int32_t num_tokens);

  KvBlocks blocks_;
  std::vector<KvLayer> layers_;
};

}  // namespace llava::engine
