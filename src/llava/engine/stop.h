// SPDX-License-Identifier: Apache-2.0
//
// Stop strings over streamed text: nothing that may belong to a stop string is shown early.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace llava::engine {

/// Cuts a text stream at the first stop string. Empty strings never match.
///
/// Threads: one thread at a time.
class StopChecker {
 public:
  explicit StopChecker(std::vector<std::string> stop_strings);

  /// Text that may be shown now. A suffix that could begin a stop string is held back.
  std::string push(std::string_view text);
  /// The held-back rest, once the stream has ended; empty after a stop.
  std::string finish();
  bool is_stopped() const noexcept { return is_stopped_; }

 private:
  std::vector<std::string> stop_strings_;
  std::string held_;
  bool is_stopped_ = false;
};

}  // namespace llava::engine
