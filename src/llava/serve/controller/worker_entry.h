// SPDX-License-Identifier: Apache-2.0
//
// What the controller knows about one worker.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llava::serve {

/// Consecutive connect failures after which a worker is suspect.
inline constexpr int32_t kSuspectFailures = 2;

/// What a worker says about itself: the answer of /worker_get_status.
struct WorkerStatus {
  std::vector<std::string> model_names;
  double speed = 1;
  double queue_length = 0;  ///< running and waiting requests
};

/// Members of the extended heartbeat; older workers send none of them.
struct WorkerLoad {
  std::optional<double> kv_usage;  ///< share of the KV pages in use, 0 to 1
  std::optional<int64_t> num_waiting;
  std::optional<int64_t> num_running;
  std::optional<int64_t> max_waiting;  ///< bound of its waiting queue
  std::optional<bool> is_draining;
  std::optional<std::string> version;

  /// Takes over what `newer` has; the rest stays.
  void update(const WorkerLoad& newer) {
    if (newer.kv_usage) kv_usage = newer.kv_usage;
    if (newer.num_waiting) num_waiting = newer.num_waiting;
    if (newer.num_running) num_running = newer.num_running;
    if (newer.max_waiting) max_waiting = newer.max_waiting;
    if (newer.is_draining) is_draining = newer.is_draining;
    if (newer.version) version = newer.version;
  }
};

/// One row of the controller's table.
struct WorkerEntry {
  using TimePoint = std::chrono::steady_clock::time_point;

  std::string name;     ///< its base URL
  WorkerStatus status;  ///< as it was last reported
  bool checks_heart_beat = false;
  /// FastChat's field; absent: the names of the models decide.
  std::optional<bool> is_multimodal;
  WorkerLoad load;
  TimePoint last_heart_beat;
  uint64_t registration = 0;   ///< a number that no other registration has
  int64_t num_dispatched = 0;  ///< since the last report, which then counts them itself
  int32_t num_failures = 0;    ///< consecutive failures to connect
  TimePoint next_probe;        ///< of a suspect worker
  std::chrono::milliseconds probe_pause{0};

  bool serves(std::string_view model) const {
    return std::find(status.model_names.begin(), status.model_names.end(), model) !=
           status.model_names.end();
  }
  double queue_length() const { return status.queue_length + static_cast<double>(num_dispatched); }
  bool is_suspect() const { return num_failures >= kSuspectFailures; }
  bool is_draining() const { return load.is_draining.value_or(false); }
  /// Its waiting queue has no room, so that it would refuse a request.
  bool is_full() const {
    return load.max_waiting && load.num_waiting && *load.num_waiting >= *load.max_waiting;
  }
};

}  // namespace llava::serve
