// SPDX-License-Identifier: Apache-2.0
//
// How the rows of a flat token tensor belong to sequences, and where a sequence's cached keys and
// values lie. Plain integers; the only tensors are the pages themselves.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llava/tensor/tensor.h"

namespace llava {

/// One sequence's share of a flat batch of tokens.
struct SequenceSlice {
  /// Rows [first_token, first_token + num_tokens) of the batch are this sequence's new tokens.
  int32_t first_token = 0;
  int32_t num_tokens = 0;
  /// Tokens of the sequence whose keys and values are already in its pages.
  int32_t num_past = 0;
  /// Pages of this sequence in order; token position t lies in page pages[t / page_size]. Without a
  /// cache, the rows of the batch that are the `num_past` tokens before the new ones.
  std::vector<int32_t> pages;
};

/// Keys and values of one decoder layer: key_pages and value_pages are [pages, page_size, K, E],
/// float32, float16, bfloat16 or int8 whatever the dtype of the queries. int8 pages have scales
/// [pages, page_size, K], float32: an element is its code times the scale of its position and head.
/// The other dtypes have none.
struct KvLayer {
  Tensor key_pages;
  Tensor value_pages;
  Tensor key_scales = {};
  Tensor value_scales = {};
};

/// The cache of all layers, owned by the engine and seen by the model.
struct KvCacheView {
  std::span<KvLayer> layers;
};

/// Scores are scale * q.k; a query at position i sees key j iff j <= i when causal, and j > i -
/// window when window > 0.
struct AttentionSpec {
  float scale = 1.0f;
  bool is_causal = true;
  int32_t window = 0;
};

}  // namespace llava
