// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/request_inbox.h"

#include <utility>

#include "llava/core/error.h"

namespace llava::engine {

void RequestInbox::push(Arrival arrival) {
  {
    const std::lock_guard lock(mutex_);
    if (num_queued_ >= max_queued_) {
      fail(ErrorCode::kUnavailable,
           "{} requests are waiting, the most that are allowed: try again later", num_queued_);
    }
    const auto num_tokens = static_cast<int64_t>(arrival.request.prompt.ids.size());
    if (num_tokens_ > 0 && num_tokens_ + num_tokens > max_tokens_) {
      fail(ErrorCode::kUnavailable,
           "prompts of {} tokens are waiting, and {} is the most that may: try again later",
           num_tokens_, max_tokens_);
    }
    num_tokens_ += num_tokens;
    arrivals_.push_back(std::move(arrival));
    ++num_queued_;
    become_busy();
  }
  changed_.notify_all();
}

bool RequestInbox::has_room(std::size_t num_tokens) const {
  const std::lock_guard lock(mutex_);
  return num_queued_ < max_queued_ &&
         (num_tokens_ == 0 || num_tokens_ + static_cast<int64_t>(num_tokens) <= max_tokens_);
}

void RequestInbox::wait_for_work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  const auto has_work = [&] { return !arrivals_.empty() || !commands_.empty(); };
  if (has_work()) return;
  is_idle_ = true;
  changed_.notify_all();
  changed_.wait(lock, stop, has_work);
}

void RequestInbox::post(std::function<void()> command) {
  {
    const std::lock_guard lock(mutex_);
    commands_.push_back(std::move(command));
    become_busy();
  }
  changed_.notify_all();
}

std::optional<std::function<void()>> RequestInbox::next_command() {
  const std::lock_guard lock(mutex_);
  if (commands_.empty()) return std::nullopt;
  std::optional<std::function<void()>> command(std::move(commands_.front()));
  commands_.pop_front();
  return command;
}

std::optional<Arrival> RequestInbox::next() {
  const std::lock_guard lock(mutex_);
  if (arrivals_.empty()) return std::nullopt;
  std::optional<Arrival> arrival(std::move(arrivals_.front()));
  arrivals_.pop_front();
  return arrival;
}

int64_t RequestInbox::num_queued_tokens() const {
  const std::lock_guard lock(mutex_);
  return num_tokens_;
}

std::optional<std::chrono::steady_clock::time_point> RequestInbox::busy_since() const {
  const std::lock_guard lock(mutex_);
  return is_idle_ ? std::nullopt : std::optional(busy_since_);
}

void RequestInbox::become_busy() {
  if (is_idle_) busy_since_ = std::chrono::steady_clock::now();
  is_idle_ = false;
}

void RequestInbox::leave_queue(std::size_t num_tokens) {
  const std::lock_guard lock(mutex_);
  --num_queued_;
  num_tokens_ -= static_cast<int64_t>(num_tokens);
}

void RequestInbox::fail_all(const std::exception_ptr& error) {
  const std::lock_guard lock(mutex_);
  for (Arrival& arrival : arrivals_) arrival.stream->fail(error);
  arrivals_.clear();
  commands_.clear();
}

void RequestInbox::wait_until_idle() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return is_idle_; });
}

}  // namespace llava::engine
