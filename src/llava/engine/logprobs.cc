// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/logprobs.h"

#include <algorithm>
#include <cmath>

#include "llava/core/check.h"

namespace llava::engine {

double log_sum_exp(std::span<const float> logits) {
  LLAVA_CHECK(!logits.empty());
  const double largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double total = 0;
  for (const float value : logits) total += std::exp(static_cast<double>(value) - largest);
  return std::log(total) + largest;
}

std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int32_t count,
                                       double log_total) {
  const auto capacity = std::min(static_cast<std::size_t>(std::max(0, count)), logits.size());
  std::vector<TokenLogprob> top;  // sorted; `logprob` is the logit until the end
  top.reserve(capacity + 1);
  for (std::size_t id = 0; id < logits.size() && capacity > 0; ++id) {
    const float value = logits[id];
    if (top.size() == capacity && value <= top.back().logprob) continue;
    const auto place = std::upper_bound(
        top.begin(), top.end(), value,
        [](float mine, const TokenLogprob& other) { return mine > other.logprob; });
    top.insert(place, {static_cast<int32_t>(id), value});
    if (top.size() > capacity) top.pop_back();
  }
  for (TokenLogprob& entry : top) {
    entry.logprob = static_cast<float>(static_cast<double>(entry.logprob) - log_total);
  }
  return top;
}

}  // namespace llava::engine
