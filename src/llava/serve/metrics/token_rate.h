// SPDX-License-Identifier: Apache-2.0
//
// TokenRate: tokens per second over the last ten seconds.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "llava/core/guarded.h"

namespace llava::serve {

/// Threads: safe.
class TokenRate {
 public:
  using Clock = std::chrono::steady_clock;

  void add(int64_t num_tokens, Clock::time_point now) {
    counts_.with([&](Counts& counts) { slot(counts, second_of(now)) += num_tokens; });
  }

  /// Of the ten whole seconds before this one.
  double per_second(Clock::time_point now) const {
    return counts_.with([&](const Counts& counts) {
      int64_t sum = 0;
      for (const auto& [second, count] : counts) {
        const int64_t age = second_of(now) - second;
        if (age >= 1 && age <= kSeconds) sum += count;
      }
      return static_cast<double>(sum) / kSeconds;
    });
  }

 private:
  static constexpr int64_t kSeconds = 10;

  struct Slot {
    int64_t second = -1;
    int64_t count = 0;
  };
  using Counts = std::array<Slot, kSeconds + 1>;

  static int64_t second_of(Clock::time_point time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  }

  static int64_t& slot(Counts& counts, int64_t second) {
    Slot& found = counts[static_cast<std::size_t>(second % static_cast<int64_t>(counts.size()))];
    if (found.second != second) found = {.second = second, .count = 0};
    return found.count;
  }

  Guarded<Counts> counts_;
};

}  // namespace llava::serve
