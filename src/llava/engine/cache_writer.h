// SPDX-License-Identifier: Apache-2.0
//
// CacheWriter: a thread that does the disk cache's writing, so that answers do not wait for a disk.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace llava::engine {

/// Jobs are done one after the other, in order. What they hold in memory is bounded: a job that
/// would exceed the bound waits for others to be done, and is admitted alone whatever it holds.
///
/// Threads: safe.
class CacheWriter {
 public:
  explicit CacheWriter(int64_t max_pending_bytes);
  /// Does what is left.
  ~CacheWriter();
  CacheWriter(const CacheWriter&) = delete;
  CacheWriter& operator=(const CacheWriter&) = delete;

  /// Adds a job that holds `num_bytes`; what it throws is logged.
  void add(int64_t num_bytes, std::function<void()> job);
  /// Waits until everything added before is done.
  void flush();

 private:
  struct Job {
    int64_t num_bytes = 0;
    std::function<void()> work;
  };

  void run();

  const int64_t max_pending_bytes_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;       // the first one is being done
  int64_t pending_bytes_ = 0;  // of all of them
  bool is_closing_ = false;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace llava::engine
