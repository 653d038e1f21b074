// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/replica_chooser.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <tuple>
#include <vector>

#include "llava/core/check.h"

namespace llava::engine {
namespace {

constexpr int32_t kShortestBeginning = 32;
constexpr std::size_t kRememberedBeginnings = 1 << 16;
constexpr std::size_t kRememberedPins = 1 << 12;

// Splitmix64's finalizer (Vigna, "Further scramblings of Marsaglia's xorshift generators").
uint64_t mix(uint64_t hash, uint64_t value) {
  uint64_t x = hash + 0x9e3779b97f4a7c15u + value;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

struct Beginning {
  int32_t length = 0;
  uint64_t hash = 0;
};

// Four lengths an octave: 32, 40, 48, 56, 64, 80, ...
int32_t next_length(int32_t length) {
  int32_t octave = kShortestBeginning;
  while (octave <= length / 2) octave *= 2;
  return length + octave / 4;
}

// The beginnings by which a prompt is known, the shortest first.
std::vector<Beginning> beginnings_of(const GenerationRequest& request) {
  std::vector<Beginning> beginnings;
  uint64_t hash = std::hash<std::string_view>{}(request.cache_salt);
  const auto& ids = request.prompt.ids;
  auto image = request.prompt.images.begin();
  int32_t next = kShortestBeginning;
  for (int32_t i = 0; i < static_cast<int32_t>(ids.size()); ++i) {
    while (image != request.prompt.images.end() && i >= image->offset + image->num_tokens) ++image;
    if (image != request.prompt.images.end() && i >= image->offset) {
      if (i == image->offset) {
        const ImageKey& key = request.images[static_cast<std::size_t>(image->image)].key;
        hash = mix(hash, ImageKeyHash{}(key));
      }
      hash = mix(hash, UINT64_MAX);
    } else {
      hash = mix(hash, static_cast<uint64_t>(ids[static_cast<std::size_t>(i)]));
    }
    if (i + 1 == next) {
      beginnings.push_back({.length = next, .hash = hash});
      next = next_length(next);
    }
  }
  return beginnings;
}

}  // namespace

ReplicaChooser::ReplicaChooser(int32_t num_replicas)
    : beginnings_(kRememberedBeginnings), pins_(kRememberedPins) {
  LLAVA_CHECK(num_replicas >= 1 && num_replicas <= kMaxReplicas);
}

int32_t ReplicaChooser::choose(const GenerationRequest& request,
                               std::span<const ReplicaLoad> loads) {
  const std::vector<Beginning> beginnings = beginnings_of(request);
  const auto half = static_cast<int32_t>(request.prompt.ids.size() / 2);
  ReplicaSet known = 0;  // those that have computed the longest beginning that anyone has
  for (auto it = beginnings.rbegin(); it != beginnings.rend() && it->length >= half; ++it) {
    if (const ReplicaSet* found = beginnings_.find(it->hash)) {
      known = *found;
      break;
    }
  }
  const int32_t* const pinned = request.pin.empty() ? nullptr : pins_.find(request.pin);
  int64_t num_open = 1;  // this request
  for (const ReplicaLoad& load : loads) num_open += load.num_open;
  const double most = 1.25 * static_cast<double>(num_open) / static_cast<double>(loads.size());
  // The smaller, the better.
  const auto rank = [&](int32_t replica) {
    const ReplicaLoad& load = loads[static_cast<std::size_t>(replica)];
    const bool has_pin = pinned != nullptr && *pinned == replica;
    const bool has_beginning = ((known >> replica) & 1) != 0 && load.num_open <= most;
    return std::tuple(!load.has_room, !has_pin, !has_beginning, load.num_open);
  };
  int32_t best = 0;
  for (int32_t i = 1; i < static_cast<int32_t>(loads.size()); ++i) {
    if (rank(i) < rank(best)) best = i;
  }
  const ReplicaSet bit = ReplicaSet{1} << best;
  for (const Beginning& beginning : beginnings) {
    const ReplicaSet* const others = beginnings_.find(beginning.hash);
    beginnings_.put(beginning.hash, others != nullptr ? *others | bit : bit);
  }
  if (!request.pin.empty()) pins_.put(request.pin, best);
  return best;
}

}  // namespace llava::engine
