// SPDX-License-Identifier: Apache-2.0
//
// The persistent pool that splits one operation over the processor's cores.
#pragma once

#include <cstdint>
#include <memory>

#include "llava/core/function_ref.h"

namespace llava {

/// A fixed set of threads that run the parts of one job at a time; the caller is one of them.
///
/// Threads: `run` may be called from one thread at a time and never from inside a part.
class ThreadPool {
 public:
  /// `num_threads` counts the calling thread; 0 means one per available core, or LLAVA_THREADS.
  ///
  /// Throws: Error(kInvalidArgument) for a negative count or a malformed LLAVA_THREADS.
  explicit ThreadPool(int num_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const noexcept;

  /// Calls `part(i)` for every i in [0, num_parts) and returns when all have ended. Each thread has
  /// a contiguous share of the parts, takes them in order and then helps the others, so that which
  /// thread runs which part is not fixed and parts must not depend on it. The first exception
  /// thrown by a part is thrown again here; parts not begun by then may be left out.
  void run(int64_t num_parts, FunctionRef<void(int64_t)> part);
  /// The same for parts that need working memory of their own: `thread`, from 0 to num_threads() -
  /// 1, is the number of the thread that runs the part.
  void run(int64_t num_parts, FunctionRef<void(int64_t part, int thread)> part);

  /// Splits [0, count) into at most num_threads() contiguous ranges of at least `min_range` and
  /// calls `range(begin, end)` for each. Only for work whose results do not depend on the split.
  void run_ranges(int64_t count, int64_t min_range, FunctionRef<void(int64_t, int64_t)> range);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace llava
