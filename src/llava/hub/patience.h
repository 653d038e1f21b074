// SPDX-License-Identifier: Apache-2.0
//
// Patience: how often a request is made again, and after how long a pause.
#pragma once

#include <chrono>
#include <stop_token>
#include <string>

#include "llava/hub/hub_client.h"

namespace llava::hub {

/// Counts failures in a row. Pauses double from half a second to eight; a server that names a time
/// (Retry-After) is obeyed up to five minutes.
///
/// Threads: one thread at a time.
class Patience {
 public:
  explicit Patience(std::stop_token stop) : stop_(std::move(stop)) {}

  /// Something came: failures before it do not count any more.
  void renew() { num_failures_ = 0; }

  /// Waits before `what` is asked for again.
  ///
  /// Throws: Error(kUnavailable) with what went wrong when it makes no sense, or has been tried
  /// five times; Error(kCancelled) on a stop.
  void wait(const HubAnswer& answer, const std::string& what);

 private:
  std::stop_token stop_;
  int num_failures_ = 0;
};

/// Whether asking again may help: no whole answer came, the server is busy (429) or broken (5xx).
bool is_worth_another_try(const HubAnswer& answer);

/// What went wrong, in a few words: "status 503", "Connection refused".
std::string failure_text(const HubAnswer& answer);

}  // namespace llava::hub
