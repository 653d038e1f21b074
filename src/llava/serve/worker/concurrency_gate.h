// SPDX-License-Identifier: Apache-2.0
//
// ConcurrencyGate: `--limit-model-concurrency` of a worker that has no engine of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "llava/core/guarded.h"

namespace llava::serve {

/// A place at the gate, given back with its last reference.
using Permit = std::shared_ptr<void>;

/// Lets so many in at the same time; others wait in the order in which they came. Owned by a shared
/// pointer, because places may be given back at any time.
///
/// Threads: safe.
class ConcurrencyGate : public std::enable_shared_from_this<ConcurrencyGate> {
 public:
  using Task = std::function<void(Permit permit)>;

  explicit ConcurrencyGate(int32_t limit);

  /// Runs `task` at once, or later on the thread that gives its place back. The answer is a number
  /// for `leave`.
  uint64_t enter(Task task);
  /// Forgets a task that still waits.
  void leave(uint64_t number);

  int64_t num_running() const;
  int64_t num_waiting() const;

 private:
  struct Queue {
    int64_t num_running = 0;
    uint64_t num_entered = 0;
    std::map<uint64_t, Task> waiting;
  };

  Permit make_permit();
  void let_next_in();

  const int64_t limit_;
  Guarded<Queue> queue_;
};

}  // namespace llava::serve
