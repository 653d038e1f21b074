// SPDX-License-Identifier: Apache-2.0
//
// CircuitBreakers: workers that fail again and again get no requests for a while, then one.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "llava/core/guarded.h"

namespace llava::serve {

/// Failures of a worker within kFailureTime that open its breaker.
inline constexpr std::size_t kMostFailures = 5;
inline constexpr std::chrono::seconds kFailureTime{30};
/// How long an open breaker keeps requests away before it lets one through to see.
inline constexpr std::chrono::seconds kOpenTime{10};

/// Threads: safe.
class CircuitBreakers {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// Workers that are to be left alone now.
  std::vector<std::string> open_ones(TimePoint now) const;
  /// A request is about to be sent; behind an open breaker it is the one that tries, and others
  /// wait for what becomes of it.
  void begin(const std::string& worker, TimePoint now);
  void report_failure(const std::string& worker, TimePoint now);
  void report_success(const std::string& worker);

 private:
  struct Breaker {
    std::vector<TimePoint> failures;
    bool is_open = false;
    TimePoint open_until;
  };
  Guarded<std::map<std::string, Breaker>> breakers_;  ///< of workers that have failed
};

}  // namespace llava::serve
