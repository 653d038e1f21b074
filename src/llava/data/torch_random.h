// SPDX-License-Identifier: Apache-2.0
//
// TorchRandom: the numbers of PyTorch's CPU generator without PyTorch. The order of the samples in
// a published training run is made of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace llava::data {

/// Seed of a torch generator to which nobody gave one (`c10::detail` default of torch).
inline constexpr uint64_t kTorchDefaultSeed = 67280421310721;

/// Mersenne Twister 19937 (Matsumoto and Nishimura, 1998), seeded and drawn from as torch does it.
///
/// Threads: one thread at a time.
/// Source: observed with torch 1.13 and 2.13; tests/data/train_order/make_orders.py.
class TorchRandom {
 public:
  /// torch.Generator().manual_seed(seed): only the lower 32 bits of the seed count.
  explicit TorchRandom(uint64_t seed = kTorchDefaultSeed);

  /// The next 32 bits.
  uint32_t random();
  /// The next 64 bits: two draws of 32, the first of them the upper half.
  uint64_t random64();
  /// torch.empty((), dtype=torch.int64).random_(): from 0 to 2^63 - 1.
  int64_t draw_seed();
  /// torch.randperm(n): `n` draws of 32 bits but one.
  ///
  /// Throws: Error(kInvalidArgument) for a negative count; Error(kUnsupported) from 214,748,364 on,
  /// where torch shuffles in another way.
  std::vector<int64_t> randperm(int64_t n);

  /// The position in the sequence, as bytes for a file.
  std::string save() const;
  /// Goes to a saved position.
  ///
  /// Throws: Error(kBadFormat) when `saved` is not what save() makes; the position then stays.
  void restore(std::string_view saved);

  friend bool operator==(const TorchRandom&, const TorchRandom&) = default;

 private:
  static constexpr std::size_t kNumWords = 624;

  void refill();

  std::array<uint32_t, kNumWords> words_;
  uint32_t next_ = kNumWords;
};

}  // namespace llava::data
