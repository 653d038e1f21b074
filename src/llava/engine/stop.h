// SPDX-License-Identifier: Apache-2.0
//
// Stop strings over streamed text: nothing that may belong to a stop string is shown early.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llava::engine {

/// Cuts a text stream at the stop string that ends first; of several that end there, at the
/// longest. Empty strings never match.
///
/// Threads: one thread at a time.
class StopChecker {
 public:
  /// With `keeps_stop`, the matched stop string is the last thing shown; else it is not shown.
  explicit StopChecker(std::vector<std::string> stop_strings, bool keeps_stop = false);

  /// Text that may be shown now. A suffix that could begin a stop string is held back.
  std::string push(std::string_view text);
  /// The held-back rest, once the stream has ended; empty after a stop.
  std::string finish();
  bool is_stopped() const noexcept { return matched_.has_value(); }
  /// The stop string that was found.
  const std::optional<std::string>& matched() const noexcept { return matched_; }

 private:
  std::vector<std::string> stop_strings_;
  bool keeps_stop_;
  std::string held_;
  std::optional<std::string> matched_;
};

}  // namespace llava::engine
