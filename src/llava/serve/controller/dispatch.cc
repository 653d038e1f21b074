// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/controller/dispatch.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "llava/core/check.h"

namespace llava::serve {
namespace {

using Entries = std::span<const WorkerEntry>;
using Candidates = std::vector<std::size_t>;

constexpr std::pair<DispatchMethod, std::string_view> kNames[] = {
    {DispatchMethod::kShortestQueue, "shortest_queue"},
    {DispatchMethod::kLottery, "lottery"},
    {DispatchMethod::kLeastLoad, "least_load"},
    {DispatchMethod::kPrefixHash, "prefix_hash"},
};

// The original's limit on the sum of the speeds of a lottery.
constexpr float kLeastSpeedSum = 1e-4f;
// Longest queue of prefix_hash in terms of the mean.
constexpr double kLoadBound = 1.25;

// 0: usable. Bits, so that every state outweighs those below it together.
int reluctance(const WorkerEntry& entry) {
  return (entry.is_draining() ? 4 : 0) + (entry.is_suspect() ? 2 : 0) + (entry.is_full() ? 1 : 0);
}

// The least reluctant workers of the model, in the order of the table.
Candidates candidates_of(Entries entries, const DispatchRequest& request) {
  Candidates candidates;
  int least = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const WorkerEntry& entry = entries[i];
    if (!entry.serves(request.model)) continue;
    const auto& tried = request.tried;
    if (std::find(tried.begin(), tried.end(), entry.name) != tried.end()) continue;
    const int rank = reluctance(entry);
    if (candidates.empty() || rank < least) {
      candidates.clear();
      least = rank;
    }
    if (rank == least) candidates.push_back(i);
  }
  return candidates;
}

double queue_cost(const WorkerEntry& entry) { return entry.queue_length() / entry.status.speed; }

// A full KV cache weighs as much as one more request at speed 1.
double load_cost(const WorkerEntry& entry) {
  return queue_cost(entry) + std::clamp(entry.load.kv_usage.value_or(0), 0.0, 1.0);
}

template <class Cost>
std::size_t cheapest(Entries entries, const Candidates& candidates, const Cost& cost) {
  std::size_t best = candidates.front();
  double best_cost = cost(entries[best]);
  for (const std::size_t i : candidates) {
    const double this_cost = cost(entries[i]);
    if (this_cost < best_cost) {
      best = i;
      best_cost = this_cost;
    }
  }
  return best;
}

std::optional<std::size_t> draw(Entries entries, const Candidates& candidates,
                                Generator& generator) {
  const auto speed_of = [&](std::size_t i) { return static_cast<float>(entries[i].status.speed); };
  float norm = 0;
  for (const std::size_t i : candidates) norm += speed_of(i);
  if (norm < kLeastSpeedSum) return std::nullopt;
  double sum = 0;
  std::vector<double> cumulative;
  cumulative.reserve(candidates.size());
  for (const std::size_t i : candidates) {
    sum += static_cast<double>(speed_of(i) / norm);
    cumulative.push_back(sum);
  }
  const double at = generator.uniform() * sum;
  const auto it = std::upper_bound(cumulative.begin(), cumulative.end(), at);
  const auto chosen = static_cast<std::size_t>(it - cumulative.begin());
  return candidates[std::min(chosen, candidates.size() - 1)];
}

// FNV-1a of 64 bits (Fowler, Noll and Vo): the same on every machine, so that controllers and
// gateways that do not talk to each other choose alike.
constexpr uint64_t kFnvBasis = 0xCBF29CE484222325u;
uint64_t fnv1a(std::string_view text, uint64_t hash = kFnvBasis) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

// The finalizer of splitmix64.
uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

std::size_t choose_by_prefix(Entries entries, const Candidates& candidates,
                             const DispatchRequest& request) {
  const auto load_of = [&](std::size_t i) { return std::max(0.0, entries[i].queue_length()); };
  double total_load = 0;
  double total_speed = 0;
  for (const std::size_t i : candidates) {
    total_load += load_of(i);
    total_speed += entries[i].status.speed;
  }
  const double mean = total_load / total_speed;
  const uint64_t key =
      mix(fnv1a(request.prefix_key, fnv1a(std::string_view("\0", 1), fnv1a(request.model))));

  std::optional<std::pair<uint64_t, std::size_t>> best;
  for (const std::size_t i : candidates) {
    if (load_of(i) > std::ceil(kLoadBound * mean * entries[i].status.speed)) continue;
    const uint64_t score = mix(key ^ fnv1a(entries[i].name));
    if (!best || score > best->first) best = {score, i};
  }
  // The shortest queue is never above the mean; what is left are rounding errors.
  return best ? best->second : cheapest(entries, candidates, queue_cost);
}

}  // namespace

std::string_view dispatch_method_name(DispatchMethod method) {
  for (const auto& [value, name] : kNames) {
    if (value == method) return name;
  }
  fail(ErrorCode::kInternal, "dispatch method {} has no name", static_cast<int>(method));
}

std::optional<DispatchMethod> parse_dispatch_method(std::string_view name) {
  for (const auto& [value, known] : kNames) {
    if (known == name) return value;
  }
  return std::nullopt;
}

std::optional<std::size_t> choose_worker(std::span<const WorkerEntry> entries,
                                         DispatchMethod method, const DispatchRequest& request,
                                         Generator& generator) {
  const Candidates candidates = candidates_of(entries, request);
  if (candidates.empty()) return std::nullopt;
  switch (method) {
    case DispatchMethod::kShortestQueue:
      return cheapest(entries, candidates, queue_cost);
    case DispatchMethod::kLottery:
      return draw(entries, candidates, generator);
    case DispatchMethod::kLeastLoad:
      return cheapest(entries, candidates, load_cost);
    case DispatchMethod::kPrefixHash:
      if (request.prefix_key.empty()) return cheapest(entries, candidates, queue_cost);
      return choose_by_prefix(entries, candidates, request);
  }
  fail(ErrorCode::kInternal, "dispatch method {} is unknown", static_cast<int>(method));
}

}  // namespace llava::serve
