// SPDX-License-Identifier: Apache-2.0
//
// AdamW (arXiv:1711.05101) over a list of parameters.
#pragma once

#include <cstdint>
#include <vector>

#include "llava/train/trained_parameter.h"

namespace llava::train {

struct AdamSettings {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
};

/// Decoupled weight decay, bias correction, float32 moments; the published library's formula in its
/// order of operations, so that float32 runs on a processor agree to the last bit. One pass over
/// each tensor, spread over LibTorch's threads; the result does not depend on their number.
///
/// Threads: one thread at a time.
/// Source: PyTorch 2.1 `torch/optim/adamw.py`, single tensor.
class AdamW {
 public:
  /// Keeps a reference to `parameters`. Moments start at zero.
  AdamW(std::vector<TrainedParameter>& parameters, std::vector<ParameterGroup> groups,
        const AdamSettings& settings);

  /// One step with each group's base rate times `rate_factor`. A gradient is `gradients[i]`,
  /// float32 and of the parameter's shape. Writes masters, and the values the model computes with.
  void step(const std::vector<at::Tensor>& gradients, const std::vector<double>& rates);

  int64_t num_steps() const { return num_steps_; }
  void set_num_steps(int64_t num_steps) { num_steps_ = num_steps; }
  /// First and second moments, one per parameter, float32; writable for restoring.
  std::vector<at::Tensor>& first_moments() { return first_moments_; }
  std::vector<at::Tensor>& second_moments() { return second_moments_; }

 private:
  std::vector<TrainedParameter>& parameters_;
  std::vector<ParameterGroup> groups_;
  AdamSettings settings_;
  int64_t num_steps_ = 0;
  std::vector<at::Tensor> first_moments_;
  std::vector<at::Tensor> second_moments_;
};

}  // namespace llava::train
