// SPDX-License-Identifier: Apache-2.0
//
// Random numbers that new weights start from: functions of the run's seed alone.
#pragma once

#include <cstdint>
#include <span>

namespace llava::train {

/// What is drawn; each has a stream of its own, so that none depends on another.
enum class InitialStream : uint64_t { kNewParts = 1, kAdapters = 2, kTables = 3, kContrastive = 4 };

/// Threads: one thread at a time.
class InitialValues {
 public:
  InitialValues(uint64_t seed, InitialStream stream)
      : seed_(seed), stream_(static_cast<uint64_t>(stream)) {}

  /// Uniform in +-1/sqrt(inputs): weights and biases of torch's Linear, and A of PEFT's adapters.
  void fill_as_linear(std::span<float> values, int64_t inputs);
  /// Normal with mean 0 (Box and Muller's transform).
  void fill_normal(std::span<float> values, double deviation);

 private:
  double next();

  uint64_t seed_;
  uint64_t stream_;
  uint64_t index_ = 0;
};

}  // namespace llava::train
