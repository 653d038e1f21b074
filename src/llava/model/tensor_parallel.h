// SPDX-License-Identifier: Apache-2.0
//
// A model cut for several processes: each has some heads and some of the feed-forward width of
// every decoder layer, and a sum over all of them makes the layers' outputs whole (Megatron-LM,
// arXiv:1909.08053, section 3).
#pragma once

#include <cstdint>
#include <functional>

#include "llava/model/llava_model.h"

namespace llava::model {

/// Which share of a model: that of `rank` of `num_ranks`.
struct ModelShare {
  int32_t rank = 0;
  int32_t num_ranks = 1;
};

/// Leaves of a loaded model what one rank computes with: rows of q, k, v, gate, up and the head,
/// columns of o and down, with their adapters. Key heads that are fewer than the ranks are shared.
/// Embeddings, norms, tower and projector stay whole. `sum` adds a part of a layer's output to
/// those of the other ranks, in every rank the same: [..., D] -> [..., D]. Logits are those of the
/// rank's part of the vocabulary, and all ranks' one behind the other are the whole.
///
/// Weights are copied, so that nothing of the whole ones stays. `ctx` is where the model lies.
/// Throws: Error(kInvalidArgument) where the heads do not divide; Error(kUnsupported) for packed
/// weights whose groups would have to be cut. Threads: one at a time.
void take_share(Context& ctx, LlavaModel& model, const ModelShare& share,
                const std::function<Tensor(Context& ctx, const Tensor& part)>& sum);

}  // namespace llava::model
