// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/answer_stream.h"

#include <algorithm>

namespace llava::engine {

std::optional<AnswerDelta> AnswerStream::pop() {
  if (unread_.empty()) {
    if (error_) std::rethrow_exception(error_);
    return std::nullopt;
  }
  AnswerDelta delta = std::move(unread_.front());
  unread_.erase(unread_.begin());
  oldest_unread_ = std::chrono::steady_clock::now();
  return delta;
}

std::optional<AnswerDelta> AnswerStream::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !unread_.empty() || has_ended_; });
  return pop();
}

std::optional<AnswerDelta> AnswerStream::try_next() {
  const std::lock_guard lock(mutex_);
  return pop();
}

bool AnswerStream::is_ended() const {
  const std::lock_guard lock(mutex_);
  return has_ended_ && unread_.empty() && !error_;
}

void AnswerStream::cancel() {
  const std::lock_guard lock(mutex_);
  is_cancelled_ = true;
}

void AnswerStream::on_change(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  callback_ = std::move(callback);
}

AnswerUsage AnswerStream::usage() const {
  const std::lock_guard lock(mutex_);
  return usage_;
}

void AnswerStream::notify(std::unique_lock<std::mutex>& lock) {
  const std::function<void()> callback = callback_;
  is_announced_ = true;
  lock.unlock();
  changed_.notify_all();
  if (callback) callback();
}

void AnswerStream::push(AnswerDelta delta) {
  const std::lock_guard lock(mutex_);
  const auto waiting = std::find_if(unread_.begin(), unread_.end(),
                                    [&](const AnswerDelta& d) { return d.choice == delta.choice; });
  if (unread_.empty()) oldest_unread_ = std::chrono::steady_clock::now();
  if (waiting == unread_.end()) {
    unread_.push_back(std::move(delta));
  } else {
    waiting->text += delta.text;
    std::move(delta.tokens.begin(), delta.tokens.end(), std::back_inserter(waiting->tokens));
    waiting->attention.insert(waiting->attention.end(), delta.attention.begin(),
                              delta.attention.end());
    waiting->finish_reason = delta.finish_reason;
    waiting->stop_string = std::move(delta.stop_string);
    waiting->score = delta.score;
  }
  is_announced_ = false;
}

void AnswerStream::announce() {
  std::unique_lock lock(mutex_);
  if (!is_announced_) notify(lock);
}

void AnswerStream::end(const AnswerUsage& usage) {
  std::unique_lock lock(mutex_);
  usage_ = usage;
  has_ended_ = true;
  notify(lock);
}

void AnswerStream::fail(std::exception_ptr error) {
  std::unique_lock lock(mutex_);
  error_ = std::move(error);
  has_ended_ = true;
  notify(lock);
}

bool AnswerStream::is_cancelled() const {
  const std::lock_guard lock(mutex_);
  return is_cancelled_;
}

std::pair<std::size_t, std::chrono::milliseconds> AnswerStream::unread() const {
  const std::lock_guard lock(mutex_);
  std::size_t num_bytes = 0;
  for (const AnswerDelta& delta : unread_) num_bytes += delta.text.size();
  if (unread_.empty()) return {0, std::chrono::milliseconds(0)};
  return {num_bytes, std::chrono::duration_cast<std::chrono::milliseconds>(
                         std::chrono::steady_clock::now() - oldest_unread_)};
}

}  // namespace llava::engine
