// SPDX-License-Identifier: Apache-2.0
//
// AnswerStream: an answer on its way from the engine's thread to whoever asked.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llava/engine/generation.h"
#include "llava/engine/token_chooser.h"

namespace llava::engine {

/// What was added to one choice of an answer.
struct AnswerDelta {
  int32_t choice = 0;
  /// Text that is certain: whole characters, nothing that may belong to a stop string.
  std::string text;
  std::vector<TokenChoice> tokens;
  /// Of a request that asks where an answer looked: for each of the tokens one number for every
  /// token of the prompt's pictures, these one behind the other.
  std::vector<float> attention;
  /// Set in a choice's last delta.
  std::optional<FinishReason> finish_reason;
  /// The stop string that ended the choice, when one did.
  std::string stop_string;
  /// Beam search: the score of the answer.
  double score = 0;
};

/// What an answer cost.
struct AnswerUsage {
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;
  int32_t encoded_images = 0;  ///< whose features no cache had
  int32_t completion_tokens = 0;
  int32_t draft_tokens = 0;     ///< proposed by speculative decoding
  int32_t accepted_tokens = 0;  ///< of those, right
  double queue_ms = 0;
  double first_token_ms = 0;  ///< from submission to the first token
  double decode_ms = 0;       ///< from the first token to the end
  double encode_ms = 0;       ///< pictures encoded for this request
};

/// Threads: one consumer; the engine's thread produces. `cancel` and `on_change` are safe from any.
class AnswerStream {
 public:
  /// The next delta; waits for it. Deltas that nobody fetched are joined per choice. Nothing when
  /// the answer has ended.
  ///
  /// Throws: the Error that ended the request.
  std::optional<AnswerDelta> next();
  /// As `next`, without waiting; `is_ended` tells an empty result apart.
  std::optional<AnswerDelta> try_next();
  /// Whether everything has been fetched and nothing more will come.
  bool is_ended() const;
  /// Ends the request at the engine's next step; its choices finish with kCancelled.
  void cancel();
  /// Whether its turn has come: something of it has been computed.
  bool has_started() const { return has_started_.load(); }
  /// Sets what the engine's thread calls after each change; it must return at once.
  void on_change(std::function<void()> callback);
  /// Complete once the stream has ended.
  AnswerUsage usage() const;

  // The engine's side.
  void note_started() { has_started_ = true; }
  /// Whoever reads hears of it with the next `announce`, `end` or `fail`.
  void push(AnswerDelta delta);
  void announce();
  void end(const AnswerUsage& usage);
  void fail(std::exception_ptr error);
  bool is_cancelled() const;
  /// Bytes of text that nobody has fetched, and how long the oldest of them have waited.
  std::pair<std::size_t, std::chrono::milliseconds> unread() const;

 private:
  std::optional<AnswerDelta> pop();
  void notify(std::unique_lock<std::mutex>& lock);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<AnswerDelta> unread_;
  std::chrono::steady_clock::time_point oldest_unread_;
  std::function<void()> callback_;
  std::exception_ptr error_;
  AnswerUsage usage_;
  bool is_announced_ = true;  ///< what is unread
  bool is_cancelled_ = false;
  bool has_ended_ = false;
  std::atomic<bool> has_started_{false};
};

}  // namespace llava::engine
