// SPDX-License-Identifier: Apache-2.0
//
// The gradients of an optimiser step: summed over its micro-batches in float32 and over the ranks,
// measured, clipped.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "llava/train/parameter_shards.h"

namespace llava::train {

/// Threads: one thread at a time.
class Gradients {
 public:
  /// Keeps references. `sends_value_type`: see ParameterShards::sum.
  Gradients(std::vector<TrainedParameter>& parameters, ParameterShards& shards,
            bool sends_value_type);

  /// Takes what a backward pass has left in the leaves. Leaves of 16 bits give it up to float32
  /// sums at once; those of float32 sum in place.
  void collect();
  /// Sums over ranks, for what this one owns; zeros where no backward pass came by, as the
  /// published software has them for samples without pictures. To be called once, after the last
  /// collect().
  void reduce();
  /// What reduce() made: one for each of the shards' owned parts, float32. Valid until clear().
  const std::vector<at::Tensor>& owned() const { return owned_; }
  /// Square of the Euclidean norm over owned(), summed in double.
  double squared_norm() const;
  /// Multiplies owned().
  void scale(double factor);
  /// Forgets them: the next step starts from zero.
  void clear();

 private:
  std::vector<TrainedParameter>& parameters_;
  ParameterShards& shards_;
  bool sends_value_type_;
  std::vector<at::Tensor> sums_;
  std::vector<at::Tensor> owned_;
};

}  // namespace llava::train
