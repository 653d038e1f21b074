// SPDX-License-Identifier: Apache-2.0
//
// Who is admitted next: the queue of waiting sequences, with a counter of the service that each
// client has received. Plain integers.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "llava/engine/step_plan.h"

namespace llava::engine {

/// Order of admission.
enum class SchedulePolicy : uint8_t {
  kFair,           ///< the client that was served least first
  kFirstCome,      ///< by arrival
  kLongestPrefix,  ///< the prompt with most cached tokens first
};

/// Threads: one thread at a time.
class WaitingQueue {
 public:
  struct Entry {
    SequenceId sequence = 0;
    std::string client;
    int32_t priority = 0;  ///< higher goes first
    int64_t arrival_ms = 0;
    int32_t prompt_tokens = 0;
    /// It ran before and was pushed back: it goes before its client's other sequences.
    bool is_returning = false;
  };

  /// Cached tokens of a waiting sequence's prompt.
  using CachedTokens = std::function<int32_t(SequenceId)>;

  /// A sequence that has waited `max_wait_ms` becomes first, whatever its priority; under kFair
  /// among those of its client, whose turn comes by service.
  WaitingQueue(SchedulePolicy policy, int64_t max_wait_ms)
      : policy_(policy), max_wait_ms_(max_wait_ms) {}

  void push(Entry entry);
  /// Removes a sequence; false when it is not here.
  bool remove(SequenceId sequence);
  bool is_empty() const { return entries_.empty(); }
  std::size_t size() const { return entries_.size(); }

  /// The sequence to admit next, of those that are not in `passed_over`; it stays in the queue.
  std::optional<SequenceId> next(int64_t now_ms, const CachedTokens& cached_tokens,
                                 std::span<const SequenceId> passed_over = {}) const;

  /// A client with work in the engine counts as active; one that returns from idleness is lifted to
  /// the least service among the active ones, so that it cannot save up.
  void activate(const std::string& client);
  void deactivate(const std::string& client);
  /// Adds to a client's service.
  void charge(const std::string& client, double service);
  double service(const std::string& client) const;

 private:
  struct Client {
    double service = 0;
    int64_t num_active = 0;
  };

  struct Moment {
    int64_t now_ms = 0;
    int32_t highest_priority = 0;  ///< of all that wait
    const CachedTokens& cached_tokens;
  };

  bool goes_before(const Entry& a, const Entry& b, const Moment& moment) const;

  SchedulePolicy policy_;
  int64_t max_wait_ms_;
  std::list<Entry> entries_;  ///< in order of arrival here
  std::map<std::string, Client> clients_;
};

}  // namespace llava::engine
