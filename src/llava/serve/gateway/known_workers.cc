// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/known_workers.h"

#include <algorithm>

namespace llava::serve {

void KnownWorkers::remember(const std::string& model, const std::string& worker, TimePoint now) {
  state_.with([&](State& state) {
    std::erase_if(state.workers,
                  [&](const auto& known) { return now - known.second > kKnownTime; });
    state.workers[{model, worker}] = now;
  });
}

void KnownWorkers::remember_models(std::vector<std::string> names, TimePoint now) {
  state_.with([&](State& state) {
    state.models = std::move(names);
    state.listed = now;
  });
}

void KnownWorkers::forget(const std::string& worker) {
  state_.with([&](State& state) {
    std::erase_if(state.workers, [&](const auto& known) { return known.first.second == worker; });
  });
}

std::optional<std::string> KnownWorkers::choose(const std::string& model,
                                                std::span<const std::string> tried, TimePoint now) {
  return state_.with([&](State& state) -> std::optional<std::string> {
    std::vector<std::string> fit;
    for (const auto& [key, time] : state.workers) {
      const auto& [served, worker] = key;
      const bool is_fresh = now - time <= kKnownTime;
      if (served == model && is_fresh && std::ranges::find(tried, worker) == tried.end()) {
        fit.push_back(worker);
      }
    }
    if (fit.empty()) return std::nullopt;
    return fit[static_cast<std::size_t>(state.random.below(fit.size()))];
  });
}

std::optional<std::vector<std::string>> KnownWorkers::models(TimePoint now) const {
  return state_.with([&](const State& state) -> std::optional<std::vector<std::string>> {
    if (!state.listed || now - *state.listed > kKnownTime) return std::nullopt;
    return state.models;
  });
}

}  // namespace llava::serve
