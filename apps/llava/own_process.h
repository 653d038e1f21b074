// SPDX-License-Identifier: Apache-2.0
//
// Starts this program again, as another rank of what it does.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "command.h"

namespace llava::app {

/// What a process ends with when its program cannot be started, as in shells.
inline constexpr int kExitNotStarted = 127;

/// How another process of this program is started.
struct OwnProcess {
  std::string name;                      ///< of the rank, for the message when it fails
  Arguments arguments;                   ///< the subcommand first
  std::vector<std::string> environment;  ///< NAME=VALUE, beside or instead of this process's
  sigset_t blocked_signals{};
  /// A descriptor that stays open in it, through which it is led: standard input is then empty, and
  /// standard output goes to standard error. Negative: none, and both are this process's.
  int kept_descriptor = -1;
};

/// Starts it in a process group of its own, which keeps it from the terminal's Ctrl-C. Where the
/// system can (Linux), it is killed when the thread that calls this ends.
///
/// Throws: Error(kUnavailable).
pid_t start_own_process(const OwnProcess& process);

}  // namespace llava::app
