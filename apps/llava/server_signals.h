// SPDX-License-Identifier: Apache-2.0
//
// The signals of a server: which end it, which make it read its files again.
#pragma once

#include <signal.h>

#include <chrono>
#include <functional>
#include <optional>

namespace llava::app {

/// Blocks SIGINT, SIGTERM and SIGHUP in this thread and those that it starts from then on, so that
/// the main thread can wait for them.
///
/// Threads: the main thread, before there are others.
class ServerSignals {
 public:
  ServerSignals();

  /// Waits for the signal that ends the server and returns it; SIGHUP calls `reload`, whose errors
  /// are logged.
  int wait_for_end(const std::function<void()>& reload) const;

  /// Waits at most that long; whether a signal came that ends the server.
  bool wait(std::chrono::milliseconds timeout) const;

 private:
  std::optional<int> next(std::chrono::milliseconds timeout) const;

  sigset_t signals_;
};

}  // namespace llava::app
