// SPDX-License-Identifier: Apache-2.0
//
// The gradients of an optimiser step: summed over its micro-batches in float32, measured, clipped.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "llava/train/trained_parameter.h"

namespace llava::train {

/// Threads: one thread at a time.
class Gradients {
 public:
  /// Keeps a reference to `parameters`.
  explicit Gradients(std::vector<TrainedParameter>& parameters);

  /// Takes what a backward pass has left in the leaves. Leaves of 16 bits give it up to float32
  /// sums at once; those of float32 sum in place.
  void collect();
  /// All gradients, float32; zeros where no backward pass came by, as the published software has
  /// them for samples without pictures. Valid until clear().
  const std::vector<at::Tensor>& all();
  /// Euclidean norm over all of them, summed in double.
  double norm();
  /// Multiplies all of them.
  void scale(double factor);
  /// Forgets them: the next step starts from zero.
  void clear();

 private:
  std::vector<TrainedParameter>& parameters_;
  std::vector<at::Tensor> sums_;
};

}  // namespace llava::train
