// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/circuit_breakers.h"

namespace llava::serve {

std::vector<std::string> CircuitBreakers::open_ones(TimePoint now) const {
  return breakers_.with([now](const auto& breakers) {
    std::vector<std::string> open;
    for (const auto& [worker, breaker] : breakers) {
      if (breaker.is_open && now < breaker.open_until) open.push_back(worker);
    }
    return open;
  });
}

void CircuitBreakers::begin(const std::string& worker, TimePoint now) {
  breakers_.with([&](auto& breakers) {
    const auto found = breakers.find(worker);
    if (found == breakers.end() || !found->second.is_open) return;
    found->second.open_until = now + kOpenTime;
  });
}

void CircuitBreakers::report_failure(const std::string& worker, TimePoint now) {
  breakers_.with([&](auto& breakers) {
    Breaker& breaker = breakers[worker];
    std::erase_if(breaker.failures, [now](TimePoint time) { return now - time > kFailureTime; });
    breaker.failures.push_back(now);
    if (!breaker.is_open && breaker.failures.size() < kMostFailures) return;
    breaker.is_open = true;
    breaker.open_until = now + kOpenTime;
    // Names that are never seen again leave with the others.
    std::erase_if(breakers, [&](const auto& other) {
      return other.first != worker && now - other.second.failures.back() > 10 * kFailureTime;
    });
  });
}

void CircuitBreakers::report_success(const std::string& worker) {
  breakers_.with([&](auto& breakers) { breakers.erase(worker); });
}

}  // namespace llava::serve
