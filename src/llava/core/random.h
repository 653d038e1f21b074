// SPDX-License-Identifier: Apache-2.0
//
// The random generator that is passed in wherever randomness is used.
#pragma once

#include <array>
#include <cstdint>

namespace llava {

/// xoshiro256** seeded through splitmix64 (Blackman and Vigna, 2018): small, fast, and the same on
/// every platform and standard library.
///
/// Threads: one generator per thread of use.
class Generator {
 public:
  using result_type = uint64_t;

  explicit Generator(uint64_t seed);

  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return UINT64_MAX; }
  uint64_t operator()();

  /// Uniform in [0, 1), 53 bits.
  double uniform();
  /// Uniform in [0, bound). `bound` must be positive.
  uint64_t below(uint64_t bound);

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace llava
