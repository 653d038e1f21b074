// SPDX-License-Identifier: Apache-2.0
//
// Dropout whose mask is a function of seed, place and moment alone: it is the same when a layer is
// computed again, with any number of threads, and after a resumption, with no state to keep.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace llava::train {

/// Where and when a mask is drawn.
struct DropoutKey {
  uint64_t seed = 0;
  uint32_t micro_step = 0;  ///< micro-batches of this rank before
  uint32_t place = 0;       ///< which of the model's dropouts
};

/// x / (1 - p) where kept, 0 where dropped, each element with probability `p`.
///
/// Shapes: any.   Dtype: floating, kept.   Threads: LibTorch's.
/// Source: Philox4x32-10, four masks of 32 bits a call (core/random.h).
at::Tensor dropout(const at::Tensor& x, double p, const DropoutKey& key);

}  // namespace llava::train
