// SPDX-License-Identifier: Apache-2.0
//
// Ctrl-C while an answer is generated: stops the answer, not the program.
#pragma once

namespace llava::app {

/// While it lives, SIGINT is counted instead of ending the process; a second one before the first
/// was seen ends it with status 130.
///
/// Threads: one object at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool is_interrupted() const;
};

}  // namespace llava::app
