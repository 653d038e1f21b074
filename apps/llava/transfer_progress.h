// SPDX-License-Identifier: Apache-2.0
//
// How far a download is: a bar with rate and time left on a terminal, log lines elsewhere.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace llava::app {

/// On a terminal it is redrawn at most ten times a second and taken away at the end; elsewhere the
/// log gets a line every ten seconds (LLAVA_LOG=info).
///
/// Threads: one thread at a time.
class TransferProgress {
 public:
  explicit TransferProgress(std::string label);
  ~TransferProgress();
  TransferProgress(const TransferProgress&) = delete;
  TransferProgress& operator=(const TransferProgress&) = delete;

  /// Bytes that are there, and bytes in all. Another total begins anew: other files.
  void update(uint64_t done, uint64_t total);

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  bool is_terminal_;
  bool is_drawn_ = false;
  bool has_begun_ = false;
  uint64_t first_done_ = 0;  ///< what was there before anything was fetched
  uint64_t last_total_ = 0;
  Clock::time_point start_;
  Clock::time_point last_report_;
};

/// "512 B", "98.3 MiB", "13.1 GiB".
std::string size_text(uint64_t bytes);

}  // namespace llava::app
