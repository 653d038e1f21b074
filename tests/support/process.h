// SPDX-License-Identifier: Apache-2.0
//
// Child processes for the end-to-end tests: started without a shell, talked to through pipes or a
// terminal, ended at a deadline.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace llava::testing {

/// What to start. `environment` is added to that of the test.
struct ProcessRequest {
  std::vector<std::string> arguments;  ///< the first one is the program's path
  std::map<std::string, std::string> environment = {};
  bool has_terminal = false;  ///< stdin, stdout and stderr are one terminal
  /// Far beyond what almost every test needs, so that a busy machine fails none.
  std::chrono::seconds timeout{120};
};

/// How it went. A process that a signal ended has the status 128 + signal, as in shells.
struct ProcessResult {
  int status = -1;
  std::string out;
  std::string err;
  bool has_timed_out = false;
  /// Most physical memory it ever had, at least that of the test that started it.
  int64_t peak_bytes = 0;
};

/// A running process; killed at the end of its life.
///
/// Threads: one thread at a time.
class Process {
 public:
  /// Throws: std::system_error when it cannot be started.
  explicit Process(const ProcessRequest& request);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// Writes to its standard input while reading what it prints. A process that does not read any
  /// more is no error.
  void write(std::string_view text);
  void close_input();
  /// True once the output that no earlier call has found contains `text`.
  bool wait_for_output(std::string_view text);
  /// What it has printed so far.
  const std::string& output() const { return result_.out; }
  /// The same of its standard error.
  const std::string& errors() const { return result_.err; }
  void send_signal(int number);
  /// Physical memory it has now; 0 once it has ended.
  int64_t resident_bytes() const;
  /// Closes its input, reads the rest, and waits for its end.
  ProcessResult finish();

 private:
  // Reads what there is, waiting for something at most until the deadline; false at its end.
  bool pump(bool wants_to_write);
  bool read_from(int& descriptor, std::string& text);

  std::chrono::steady_clock::time_point deadline_;
  pid_t pid_ = -1;
  int input_ = -1;
  int output_ = -1;
  int errors_ = -1;
  std::size_t num_found_ = 0;
  ProcessResult result_;
};

/// Runs a process to its end with `input` as its standard input.
ProcessResult run_process(const ProcessRequest& request, std::string_view input = {});

}  // namespace llava::testing
