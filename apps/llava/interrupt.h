// SPDX-License-Identifier: Apache-2.0
//
// Ctrl-C while an answer is generated: stops the answer, not the program.
#pragma once

#include <stop_token>
#include <thread>

namespace llava::app {

/// While it lives, the first SIGINT requests `stop` instead of ending the process; a second one
/// ends it with status 130.
///
/// Threads: one object at a time.
class InterruptGuard {
 public:
  explicit InterruptGuard(std::stop_source stop);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  std::jthread watcher_;
};

}  // namespace llava::app
