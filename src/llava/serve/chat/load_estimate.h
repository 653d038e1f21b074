// SPDX-License-Identifier: Apache-2.0
//
// LoadEstimate: how long a request that comes now will wait, from how fast others were done.
#pragma once

#include <cstdint>

#include "llava/core/guarded.h"

namespace llava::serve {

/// Requests that are computed together share the machine: each takes longer the more there are,
/// while about as many are done in a second. So what is remembered is the time of one divided by
/// how many there were, which also holds for the larger number that an overload brings.
///
/// Threads: safe.
class LoadEstimate {
 public:
  /// A request has ended this long after its work began, when `num_running` were computed together.
  void note(double service_ms, int32_t num_running);

  /// Expected wait behind `num_waiting` requests; 0 before anything has ended.
  double wait_ms(int32_t num_waiting) const;
  /// The same as whole seconds for Retry-After: from 1 to 60, spread by a fifth so that clients
  /// that were refused together do not come back together.
  int32_t retry_after(int32_t num_waiting) const;

 private:
  Guarded<double> mean_ms_{0.0};  ///< from the end of one to the end of the next
};

}  // namespace llava::serve
