// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/cache_writer.h"

#include <exception>
#include <utility>

#include "llava/core/log.h"

namespace llava::engine {
namespace {

void complain(const std::exception& error) noexcept {
  try {
    log_warning("cache_not_stored", {{"reason", error.what()}});
  } catch (...) {
    // There is no memory to say it with.
  }
}

}  // namespace

CacheWriter::CacheWriter(int64_t max_pending_bytes)
    : max_pending_bytes_(max_pending_bytes), thread_([this] { run(); }) {}

CacheWriter::~CacheWriter() {
  {
    const std::lock_guard lock(mutex_);
    is_closing_ = true;
  }
  changed_.notify_all();
}

void CacheWriter::add(int64_t num_bytes, std::function<void()> job) {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(
        lock, [&] { return jobs_.empty() || pending_bytes_ + num_bytes <= max_pending_bytes_; });
    jobs_.push_back({.num_bytes = num_bytes, .work = std::move(job)});
    pending_bytes_ += num_bytes;
  }
  changed_.notify_all();
}

void CacheWriter::flush() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return jobs_.empty(); });
}

void CacheWriter::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return is_closing_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const std::function<void()> work = std::move(jobs_.front().work);
    lock.unlock();
    try {
      work();
    } catch (const std::exception& error) {
      complain(error);
    }
    lock.lock();
    pending_bytes_ -= jobs_.front().num_bytes;
    jobs_.pop_front();
    changed_.notify_all();
  }
}

}  // namespace llava::engine
