// SPDX-License-Identifier: Apache-2.0
//
// ReplicaChooser: which of several equal engine loops a request goes to. Each has caches of its
// own, so a request is best where its beginning has been computed before, as long as that one is
// not much busier than the others.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "llava/engine/generation_request.h"
#include "llava/engine/lru_map.h"

namespace llava::engine {

/// What a replica has to do.
struct ReplicaLoad {
  int32_t num_open = 0;  ///< requests that wait or run
  bool has_room = true;  ///< whether its queue takes the request
};

/// Remembers where prompts went by hashes of their beginnings, at lengths that grow by a fifth to a
/// quarter. A hash that two beginnings share, or that was forgotten, costs time and nothing else.
///
/// Threads: one at a time.
class ReplicaChooser {
 public:
  /// More replicas than bits of a set are not told apart.
  static constexpr int32_t kMaxReplicas = 64;

  explicit ReplicaChooser(int32_t num_replicas);

  /// The replica for a request that passed check_request. The one that has its pin; else, among
  /// those that have computed at least half of the prompt and are not busier than 1.25 times the
  /// mean, the least busy; else the least busy of all. Those without room come last. That it goes
  /// there is remembered.
  int32_t choose(const GenerationRequest& request, std::span<const ReplicaLoad> loads);

 private:
  using ReplicaSet = uint64_t;  ///< one bit each

  LruMap<uint64_t, ReplicaSet> beginnings_;
  LruMap<std::string, int32_t> pins_;
};

}  // namespace llava::engine
