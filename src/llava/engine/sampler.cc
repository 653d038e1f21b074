// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_set>

#include "llava/core/check.h"
#include "llava/engine/logprobs.h"

namespace llava::engine {
namespace {

void keep_top_k(std::span<float> logits, int32_t k) {
  if (k <= 0 || static_cast<std::size_t>(k) >= logits.size()) return;
  std::vector<float> sorted(logits.begin(), logits.end());
  std::nth_element(sorted.begin(), sorted.begin() + (k - 1), sorted.end(), std::greater<>());
  const float threshold = sorted[static_cast<std::size_t>(k - 1)];
  for (float& value : logits) {
    if (value < threshold) value = kMinusInfinity;
  }
}

// Drops, from the least likely up, every token whose cumulative probability is at most 1 - p; the
// most likely one always stays.
void keep_top_p(std::span<float> logits, float p) {
  if (p >= 1.0f) return;
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<std::size_t>(a)] < logits[static_cast<std::size_t>(b)];
  });
  const float largest = logits[static_cast<std::size_t>(order.back())];
  double total = 0;
  for (const float value : logits) total += std::exp(static_cast<double>(value - largest));
  double cumulative = 0;
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    float& value = logits[static_cast<std::size_t>(order[i])];
    cumulative += std::exp(static_cast<double>(value - largest)) / total;
    if (cumulative > 1.0 - static_cast<double>(p)) break;
    value = kMinusInfinity;
  }
}

}  // namespace

void apply_repetition_penalty(std::span<float> logits, std::span<const int32_t> ids,
                              float penalty) {
  if (penalty == 1.0f) return;
  const std::unordered_set<int32_t> distinct(ids.begin(), ids.end());
  for (const int32_t id : distinct) {
    if (id < 0 || static_cast<std::size_t>(id) >= logits.size()) continue;
    float& value = logits[static_cast<std::size_t>(id)];
    value = value < 0 ? value * penalty : value / penalty;
  }
}

void filter_logits(std::span<float> logits, const SamplingParams& params) {
  if (params.temperature != 1.0f) {
    for (float& value : logits) value /= params.temperature;
  }
  keep_top_k(logits, params.top_k);
  keep_top_p(logits, params.top_p);
}

int32_t argmax(std::span<const float> logits) {
  LLAVA_CHECK(!logits.empty());
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

std::vector<float> log_softmax(std::span<const float> logits) {
  const double log_total = log_sum_exp(logits);
  std::vector<float> result(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i) {
    result[i] = static_cast<float>(static_cast<double>(logits[i]) - log_total);
  }
  return result;
}

int32_t draw(std::span<const float> logits, Generator& generator) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  LLAVA_CHECK(std::isfinite(largest), "largest logit is {}", largest);
  double total = 0;
  for (const float value : logits) total += std::exp(static_cast<double>(value - largest));
  double left = generator.uniform() * total;
  int32_t last = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double weight = std::exp(static_cast<double>(logits[i] - largest));
    if (weight <= 0) continue;
    last = static_cast<int32_t>(i);
    left -= weight;
    if (left < 0) break;
  }
  return last;
}

std::vector<int32_t> draw_without_replacement(std::span<const float> logits, int32_t count,
                                              Generator& generator) {
  std::vector<float> remaining(logits.begin(), logits.end());
  std::vector<int32_t> drawn;
  for (int32_t i = 0; i < count; ++i) {
    const auto id = static_cast<std::size_t>(draw(remaining, generator));
    if (remaining[id] == kMinusInfinity) break;
    drawn.push_back(static_cast<int32_t>(id));
    remaining[id] = kMinusInfinity;
    if (std::all_of(remaining.begin(), remaining.end(),
                    [](float value) { return value == kMinusInfinity; })) {
      break;
    }
  }
  return drawn;
}

}  // namespace llava::engine
