// SPDX-License-Identifier: Apache-2.0
//
// Quantising: float matrices into the packed forms of tensor/packed.h.
#pragma once

#include <cstdint>
#include <span>

#include "llava/core/thread_pool.h"
#include "llava/tensor/tensor.h"

namespace llava::checkpoint {

/// What quantising lost.
struct QuantizationError {
  double squared_error = 0;  ///< sum of (weight - quantised)^2
  double squared_norm = 0;   ///< sum of weight^2

  /// Root mean square of the error in units of the weights'; 0 for a matrix of zeros.
  double relative_rms() const;
};

struct QuantizedMatrix {
  Tensor weight;  ///< [O, I] in the packed form, host memory
  QuantizationError error;
};

/// Quantises a float host matrix [O, I].
///
/// The scale of a group (and its minimum) is searched for: the one that minimises the sum of w_i *
/// (x_i - quantised x_i)^2 over the group's inputs i, with w_i = importance[i], or 1 where
/// `importance` is empty. Importances are mean squares of the inputs' activations; they are finite
/// and not negative. A group that holds a NaN or an infinity gets a NaN as scale, so that the
/// damage stays visible. Throws: Error(kInternal) when shapes or dtypes do not fit.   Threads: runs
/// on `pool`.
QuantizedMatrix quantize_matrix(ThreadPool& pool, const Tensor& weight_OI, DType form,
                                std::span<const float> importance = {});

/// As dequantize() of tensor/packed.h, on all threads.
Tensor dequantize_matrix(ThreadPool& pool, const Tensor& packed_OI);

}  // namespace llava::checkpoint
