// SPDX-License-Identifier: Apache-2.0
//
// Processes of this program that work together and end together.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cstddef>
#include <ctime>
#include <optional>
#include <vector>

#include "own_process.h"

namespace llava::app {

/// Ends those that are left with itself. While it lives, SIGCHLD, SIGINT and SIGTERM are blocked in
/// this thread: the waits take them.
///
/// Threads: the thread that makes it, and no other one that handles signals.
class ProcessGroup {
 public:
  ProcessGroup();
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  /// Starts one more, with the signals that this process had blocked before.
  ///
  /// Throws: Error(kUnavailable).
  void start(OwnProcess process);

  /// Waits until all have ended. When one fails the others are ended within seconds; Ctrl-C and
  /// SIGTERM are passed on as SIGINT, once each time. Returns whether one of these came.
  bool wait();
  /// Waits until one has ended, or Ctrl-C or SIGTERM comes; returns whether one of these came.
  bool wait_for_first();

  /// The one that did not end well, if any; others may have ended for it.
  std::optional<std::size_t> failed() const { return failed_; }
  /// Of one that has ended, as waitpid says it.
  int status(std::size_t index) const { return *members_[index].status; }
  pid_t process(std::size_t index) const { return members_[index].process; }

 private:
  struct Member {
    pid_t process = 0;
    std::optional<int> status = std::nullopt;  // of waitpid
  };

  std::size_t num_alive() const;
  void signal_all(int signal) const;
  int next_signal(std::optional<time_t> deadline) const;
  void reap(int options);

  sigset_t signals_{};
  sigset_t before_{};
  std::vector<Member> members_;
  std::optional<std::size_t> failed_;
  bool is_killing_ = false;
};

}  // namespace llava::app
