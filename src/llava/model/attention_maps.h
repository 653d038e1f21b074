// SPDX-License-Identifier: Apache-2.0
//
// Where queries looked: the attention probabilities of chosen rows of a batch, computed beside the
// ordinary attention while the decoder runs, from the same queries and the same cached keys. A
// forward pass that is asked for none does nothing of it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "llava/tensor/ops.h"

namespace llava::model {

/// Positions [begin, end) of a sequence.
struct PositionRange {
  int32_t begin = 0;
  int32_t end = 0;
};

/// Positions of all ranges together.
int64_t num_positions(std::span<const PositionRange> ranges);

/// Layers are numbered from 0; this one means the mean over all of them.
inline constexpr int32_t kAllLayers = -1;

/// Which probabilities of one sequence of the batch are wanted.
struct AttentionMapRequest {
  int32_t sequence = 0;   ///< index of its slice
  int32_t first_row = 0;  ///< of the slice's new tokens, this one and those behind it
  int32_t layer = kAllLayers;
  std::vector<PositionRange> ranges;  ///< of the keys, one behind the other in a map
};

/// Collects the maps of one forward pass; needs a KV cache.
///
/// Per query row: softmax(scale * q.k) over the keys that it sees, as transformers' eager attention
/// has it; mean over the heads, and over the layers where all are asked for. Scores are of the
/// backend's linear(), in float32, sums in float64; so on the native backend a row's numbers depend
/// on nothing but the row and its keys.
/// Shape letters: T rows, H query heads, K key heads, E head width, S keys of a sequence, R rows of
/// a request.
/// Memory: for each request in turn S x E floats and R x (H / K) x S floats, and R x
/// num_positions(ranges) doubles. Threads: one at a time.
class AttentionMaps {
 public:
  explicit AttentionMaps(std::vector<AttentionMapRequest> requests);

  /// What each layer calls once, in order, when its keys are in the cache.
  ///
  /// Shapes: q_THE [T, H, E] with rotary positions.
  void add_layer(Context& ctx, const Tensor& q_THE, const KvLayer& layer,
                 std::span<const SequenceSlice> sequences, const AttentionSpec& spec);

  /// The map of a request: [R, num_positions(ranges)], row-major.
  std::vector<float> map(std::size_t request) const;

 private:
  struct Sum {
    std::vector<double> values;  ///< over heads and layers
    int64_t num_added = 0;       ///< of heads
  };

  void add(Context& ctx, std::size_t index, const Tensor& q_THE, const KvLayer& layer,
           const SequenceSlice& sequence, const AttentionSpec& spec);

  std::vector<AttentionMapRequest> requests_;
  std::vector<Sum> sums_;
  int32_t num_layers_ = 0;
};

}  // namespace llava::model
