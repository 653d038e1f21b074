// SPDX-License-Identifier: Apache-2.0
//
// RequestInbox: the bounded queue between those who ask and the engine's thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>

#include "llava/engine/answer_stream.h"
#include "llava/engine/generation_request.h"

namespace llava::engine {

/// A request on its way to the engine's thread.
struct Arrival {
  GenerationRequest request;
  std::shared_ptr<AnswerStream> stream;
  std::chrono::steady_clock::time_point time;
  /// Held as long as the request is open, wherever it is.
  std::shared_ptr<const void> is_open;
};

/// Requests count as queued from `push` until `leave_queue`, which is later than `next`: the engine
/// takes them out at once, but they wait there for their turn.
///
/// Threads: safe; `wait_for_work`, `next`, `next_command`, `leave_queue` and `fail_all` are the
/// engine thread's.
class RequestInbox {
 public:
  /// At most `max_queued` requests, of at most `max_tokens` prompt tokens together, or a single one
  /// of any size.
  RequestInbox(int32_t max_queued, int64_t max_tokens)
      : max_queued_(max_queued), max_tokens_(max_tokens) {}

  /// Throws: Error(kUnavailable) when as many as are allowed are queued.
  void push(Arrival arrival);
  /// Whether a prompt of so many tokens could be pushed now; from any thread.
  bool has_room(std::size_t num_tokens) const;
  /// Waits until there is something to take out, or a stop; the engine is idle meanwhile.
  void wait_for_work(const std::stop_token& stop);
  /// Hands work that is no request to the engine's thread; dropped when the engine stops.
  void post(std::function<void()> command);
  /// The oldest of these; nothing when there is none.
  std::optional<std::function<void()>> next_command();
  /// The oldest arrival; nothing when there is none.
  std::optional<Arrival> next();
  /// A request that was taken out, of so many prompt tokens, has begun or has ended without.
  void leave_queue(std::size_t num_tokens);
  /// Ends the streams of all arrivals, and drops commands.
  void fail_all(const std::exception_ptr& error);
  /// Waits until the engine has nothing to do.
  void wait_until_idle();
  /// Tokens of the prompts that are queued; from any thread.
  int64_t num_queued_tokens() const;
  /// When the engine got something to do; nothing while it waits for it. From any thread.
  std::optional<std::chrono::steady_clock::time_point> busy_since() const;

 private:
  void become_busy();

  const int32_t max_queued_;
  const int64_t max_tokens_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Arrival> arrivals_;
  std::deque<std::function<void()>> commands_;
  int32_t num_queued_ = 0;
  int64_t num_tokens_ = 0;  ///< of the prompts that are queued
  bool is_idle_ = false;
  std::chrono::steady_clock::time_point busy_since_ = std::chrono::steady_clock::now();
};

}  // namespace llava::engine
