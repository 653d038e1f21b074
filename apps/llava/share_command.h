// SPDX-License-Identifier: Apache-2.0
//
// ShareCommand: `--share-command`, a program of the operator's that makes a server known to the
// world while it runs.
#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace llava::app {

/// Words between spaces, with the server's address and port in the place of `{address}` and
/// `{port}`. No shell reads them.
std::vector<std::string> share_command_words(const std::string& command,
                                             const std::string& address);

/// Threads: one thread at a time.
class ShareCommand {
 public:
  /// Starts it. When it ends before this object does, that is logged.
  ///
  /// Throws: Error(kNotFound) naming the program that cannot be started.
  ShareCommand(const std::string& command, const std::string& address);
  /// Ends it: SIGTERM, and SIGKILL where that is not enough for 5 s.
  ~ShareCommand();
  ShareCommand(const ShareCommand&) = delete;
  ShareCommand& operator=(const ShareCommand&) = delete;

 private:
  void wait_for_child();

  pid_t child_ = 0;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool has_ended_ = false;
  bool is_ending_ = false;
  std::jthread waiter_;
};

}  // namespace llava::app
