// SPDX-License-Identifier: Apache-2.0
//
// RetryBudget: keeps retries a small part of the traffic, so that a failure of many workers does
// not triple the load of the others.
#pragma once

#include <algorithm>

#include "llava/core/guarded.h"

namespace llava::serve {

/// One retry for ten requests, and ten saved up at most.
///
/// Threads: safe.
class RetryBudget {
 public:
  void count_request() {
    retries_left_.with([](double& left) { left = std::min(left + 0.1, kMostSaved); });
  }
  /// Whether one more retry is in it, which is then taken.
  bool take() {
    return retries_left_.with([](double& left) {
      if (left < 1) return false;
      left -= 1;
      return true;
    });
  }

 private:
  static constexpr double kMostSaved = 10;
  Guarded<double> retries_left_{kMostSaved};
};

}  // namespace llava::serve
