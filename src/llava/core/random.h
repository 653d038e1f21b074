// SPDX-License-Identifier: Apache-2.0
//
// The random generator that is passed in wherever randomness is used, and the counter-based one for
// draws that must not depend on how many came before them.
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

/// Philox4x32 with ten rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011):
/// four random words for every counter and key.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// Uniform in [0, 1), 53 bits: a function of its arguments alone. The key is the seed, the counter
/// is the index (low words) and the stream (high words); the first two words of the result, low
/// word first, give the bits, the highest 53 of them.
double uniform_at(uint64_t seed, uint64_t stream, uint64_t index);

}  // namespace llava
