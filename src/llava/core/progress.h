// SPDX-License-Identifier: Apache-2.0
//
// Progress of long work. Libraries report through the callback; the program draws the bar.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace llava {

/// Called with work done and work in all, in the unit the caller documents. May be empty.
using ProgressCallback = std::function<void(uint64_t done, uint64_t total)>;

/// A bar on stderr, redrawn at most ten times a second; silent when stderr is not a terminal.
///
/// Threads: one thread at a time.
class ProgressBar {
 public:
  explicit ProgressBar(std::string_view label);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// Draws `done` of `total` with the time left.
  void update(uint64_t done, uint64_t total);
  /// Removes the bar from the screen.
  void clear();

 private:
  std::string label_;
  bool is_terminal_;
  bool is_drawn_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_draw_;
};

}  // namespace llava
