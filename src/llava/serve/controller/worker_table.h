// SPDX-License-Identifier: Apache-2.0
//
// The controller's table of workers: who is there, what they serve, how busy they are. It opens no
// connection and reads no clock; who probes workers and when is the caller's matter.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/random.h"
#include "llava/serve/controller/dispatch.h"
#include "llava/serve/controller/worker_entry.h"

namespace llava::serve {

/// Age of a heartbeat after which a worker is dropped, and the period of looking for such.
inline constexpr std::chrono::seconds kHeartBeatExpiration{30};
inline constexpr std::size_t kMaxWorkers = 4096;
/// Speeds are relative numbers around 1; the bound keeps their sums exact enough in float32.
inline constexpr double kMaxWorkerSpeed = 1e9;

struct WorkerRegistration {
  std::string name;
  bool checks_heart_beat = false;
  std::optional<bool> is_multimodal;
  WorkerStatus status;
  WorkerLoad load;
};

struct HeartBeat {
  std::string name;
  double queue_length = 0;
  WorkerLoad load;
};

/// One worker to ask for its status during a refresh.
struct RefreshTarget {
  std::string name;
  uint64_t registration = 0;
};

/// What came of it; no status: it could not be reached.
struct RefreshResult {
  RefreshTarget target;
  std::optional<WorkerStatus> status;
};

/// Model names without repetition in order of appearance, and the sums of speed and queue length:
/// what a controller says about its workers when it acts as one.
WorkerStatus aggregate_status(const std::vector<WorkerStatus>& statuses);

/// Threads: one thread at a time.
class WorkerTable {
 public:
  using TimePoint = WorkerEntry::TimePoint;

  /// Adds a worker at the end, or overwrites one where it stands; true when it is new. All that was
  /// known about it, failures included, is forgotten.
  ///
  /// Throws: Error(kInvalidArgument) for a name that parse_worker_url refuses, a speed outside
  /// (0, kMaxWorkerSpeed] and a queue length that is not finite; Error(kResourceExhausted) beyond
  /// kMaxWorkers. The table is then as it was.
  bool register_worker(const WorkerRegistration& registration, TimePoint now);

  /// Takes over queue length and load and clears suspicion; false for an unknown name, whose worker
  /// must register again. The reported queue length replaces the one kept here, so that dispatched
  /// requests that never reached the worker are dropped.
  bool receive_heart_beat(const HeartBeat& beat, TimePoint now);

  /// Removes a worker; false when it is not here.
  bool unregister_worker(std::string_view name);

  /// Removes workers with heartbeat checking whose last heartbeat is more than
  /// kHeartBeatExpiration old; answers their names. For the others, whose queue length no heartbeat
  /// corrects, this drops the requests dispatched since a report of that age.
  std::vector<std::string> remove_expired(TimePoint now);

  /// Model names without repetition, in order of appearance.
  std::vector<std::string> list_models() const;
  /// Those of workers that say `multimodal`; where a worker says nothing, the models whose name
  /// contains "llava" in any case (the original's rule).
  std::vector<std::string> list_multimodal_models() const;
  /// The others of each worker. A model is in both lists when its workers disagree.
  std::vector<std::string> list_language_models() const;

  /// The name of the worker that gets the request (choose_worker); nothing when there is none. But
  /// for kLottery, the worker's queue counts as one longer from then on.
  std::optional<std::string> dispatch(DispatchMethod method, const DispatchRequest& request,
                                      Generator& generator);

  /// A connection to the worker failed. kSuspectFailures in a row make it suspect. False for an
  /// unknown name.
  bool report_failure(std::string_view name, TimePoint now);
  /// The worker was reached: it is not suspect. False for an unknown name.
  bool report_success(std::string_view name);
  /// Names of the suspect workers that are to be probed now; the pauses between the probes of one
  /// worker double from 0.5 s to 15 s.
  std::vector<std::string> take_due_probes(TimePoint now);

  /// aggregate_status of what is known here.
  WorkerStatus status() const;

  /// Every worker in order, to be asked for its status. The table stays as it is meanwhile.
  std::vector<RefreshTarget> refresh_targets() const;

  /// Brings a refresh to an end: workers that answered count as registered now and keep their
  /// places, those that did not are removed; answers the names of the latter. Workers that
  /// registered after refresh_targets are left alone. A status that register_worker would refuse
  /// counts as no answer.
  std::vector<std::string> replace_after_refresh(const std::vector<RefreshResult>& results,
                                                 TimePoint now);

  /// In order of registration.
  const std::vector<WorkerEntry>& entries() const { return entries_; }

 private:
  WorkerEntry* find(std::string_view name);

  std::vector<WorkerEntry> entries_;
  uint64_t num_registrations_ = 0;
};

}  // namespace llava::serve
