// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/chat/load_estimate.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace llava::serve {
namespace {

/// What the newest request counts in the mean.
constexpr double kNewest = 0.1;
constexpr double kSpread = 0.2;

}  // namespace

void LoadEstimate::note(double service_ms, int32_t num_running) {
  const double share = service_ms / std::max(1, num_running);
  mean_ms_.with(
      [&](double& mean) { mean = mean == 0.0 ? share : mean + kNewest * (share - mean); });
}

double LoadEstimate::wait_ms(int32_t num_waiting) const {
  return num_waiting * mean_ms_.with([](const double& value) { return value; });
}

int32_t LoadEstimate::retry_after(int32_t num_waiting) const {
  thread_local std::minstd_rand generator{std::random_device{}()};
  std::uniform_real_distribution<double> spread(1 - kSpread, 1 + kSpread);
  const double seconds = wait_ms(num_waiting) / 1000 * spread(generator);
  return static_cast<int32_t>(std::clamp(std::ceil(seconds), 1.0, 60.0));
}

}  // namespace llava::serve
