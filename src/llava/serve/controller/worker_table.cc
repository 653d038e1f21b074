// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/controller/worker_table.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "llava/core/error.h"
#include "llava/serve/controller/worker_url.h"

namespace llava::serve {
namespace {

constexpr std::chrono::milliseconds kFirstProbePause{500};
constexpr std::chrono::milliseconds kLongestProbePause{15'000};

bool is_acceptable(const WorkerStatus& status) {
  return status.speed > 0 && status.speed <= kMaxWorkerSpeed && std::isfinite(status.queue_length);
}

// The original's rule for a model that nothing else is known about.
bool has_multimodal_name(std::string_view model) {
  constexpr std::string_view kMark = "llava";
  const auto equals = [](char a, char b) {
    return a == b || (a >= 'A' && a <= 'Z' && static_cast<char>(a - 'A' + 'a') == b);
  };
  return std::search(model.begin(), model.end(), kMark.begin(), kMark.end(), equals) != model.end();
}

// Names in order of appearance, each once. Refers to the names that it was given.
class NameList {
 public:
  void add(const std::string& name) {
    if (known_.insert(name).second) names_.push_back(name);
  }
  std::vector<std::string> take() { return std::move(names_); }

 private:
  std::unordered_set<std::string_view> known_;
  std::vector<std::string> names_;
};

template <class Takes>
std::vector<std::string> collect_models(const std::vector<WorkerEntry>& entries,
                                        const Takes& takes) {
  NameList list;
  for (const WorkerEntry& entry : entries) {
    for (const std::string& model : entry.status.model_names) {
      if (takes(entry, model)) list.add(model);
    }
  }
  return list.take();
}

bool is_multimodal(const WorkerEntry& entry, std::string_view model) {
  return entry.is_multimodal ? *entry.is_multimodal : has_multimodal_name(model);
}

void clear_failures(WorkerEntry& entry) { entry.num_failures = 0; }

}  // namespace

WorkerStatus aggregate_status(const std::vector<WorkerStatus>& statuses) {
  NameList models;
  WorkerStatus sum{.model_names = {}, .speed = 0, .queue_length = 0};
  for (const WorkerStatus& status : statuses) {
    for (const std::string& model : status.model_names) models.add(model);
    sum.speed += status.speed;
    sum.queue_length += status.queue_length;
  }
  sum.model_names = models.take();
  return sum;
}

WorkerEntry* WorkerTable::find(std::string_view name) {
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [&](const WorkerEntry& entry) { return entry.name == name; });
  return it == entries_.end() ? nullptr : &*it;
}

bool WorkerTable::register_worker(const WorkerRegistration& registration, TimePoint now) {
  parse_worker_url(registration.name);
  const WorkerStatus& status = registration.status;
  if (!is_acceptable(status)) {
    fail(ErrorCode::kInvalidArgument,
         "worker '{}' has speed {} and queue length {}, expected a speed above 0 of at most {} and "
         "a finite queue length",
         registration.name, status.speed, status.queue_length, kMaxWorkerSpeed);
  }
  WorkerEntry* known = find(registration.name);
  if (known == nullptr && entries_.size() >= kMaxWorkers) {
    fail(ErrorCode::kResourceExhausted,
         "worker '{}' cannot be registered: there are {} workers already; use a second controller",
         registration.name, entries_.size());
  }
  WorkerEntry entry{.name = registration.name,
                    .status = status,
                    .checks_heart_beat = registration.checks_heart_beat,
                    .is_multimodal = registration.is_multimodal,
                    .load = registration.load,
                    .last_heart_beat = now,
                    .registration = ++num_registrations_,
                    .next_probe = now};
  if (known != nullptr) {
    *known = std::move(entry);
    return false;
  }
  entries_.push_back(std::move(entry));
  return true;
}

bool WorkerTable::receive_heart_beat(const HeartBeat& beat, TimePoint now) {
  WorkerEntry* entry = find(beat.name);
  if (entry == nullptr) return false;
  if (std::isfinite(beat.queue_length)) {
    entry->status.queue_length = beat.queue_length;
    entry->num_dispatched = 0;
  }
  entry->load.update(beat.load);
  entry->last_heart_beat = now;
  clear_failures(*entry);
  return true;
}

bool WorkerTable::unregister_worker(std::string_view name) {
  return std::erase_if(entries_, [&](const WorkerEntry& entry) { return entry.name == name; }) > 0;
}

std::vector<std::string> WorkerTable::remove_expired(TimePoint now) {
  std::vector<std::string> removed;
  std::erase_if(entries_, [&](WorkerEntry& entry) {
    if (now - entry.last_heart_beat <= kHeartBeatExpiration) return false;
    if (!entry.checks_heart_beat) {
      entry.num_dispatched = 0;
      return false;
    }
    removed.push_back(entry.name);
    return true;
  });
  return removed;
}

std::vector<std::string> WorkerTable::list_models() const {
  return collect_models(entries_, [](const WorkerEntry&, std::string_view) { return true; });
}

std::vector<std::string> WorkerTable::list_multimodal_models() const {
  return collect_models(entries_, is_multimodal);
}

std::vector<std::string> WorkerTable::list_language_models() const {
  return collect_models(entries_, [](const WorkerEntry& entry, std::string_view model) {
    return !is_multimodal(entry, model);
  });
}

std::optional<std::string> WorkerTable::dispatch(DispatchMethod method,
                                                 const DispatchRequest& request,
                                                 Generator& generator) {
  const std::optional<std::size_t> chosen = choose_worker(entries_, method, request, generator);
  if (!chosen) return std::nullopt;
  WorkerEntry& entry = entries_[*chosen];
  if (method != DispatchMethod::kLottery) ++entry.num_dispatched;
  return entry.name;
}

bool WorkerTable::report_failure(std::string_view name, TimePoint now) {
  WorkerEntry* entry = find(name);
  if (entry == nullptr) return false;
  if (entry->is_suspect()) return true;
  ++entry->num_failures;
  entry->probe_pause = kFirstProbePause;
  entry->next_probe = now + kFirstProbePause;
  return true;
}

bool WorkerTable::report_success(std::string_view name) {
  WorkerEntry* entry = find(name);
  if (entry == nullptr) return false;
  clear_failures(*entry);
  return true;
}

std::vector<std::string> WorkerTable::take_due_probes(TimePoint now) {
  std::vector<std::string> names;
  for (WorkerEntry& entry : entries_) {
    if (!entry.is_suspect() || now < entry.next_probe) continue;
    names.push_back(entry.name);
    entry.probe_pause = std::min(2 * entry.probe_pause, kLongestProbePause);
    entry.next_probe = now + entry.probe_pause;
  }
  return names;
}

WorkerStatus WorkerTable::status() const {
  std::vector<WorkerStatus> statuses;
  statuses.reserve(entries_.size());
  for (const WorkerEntry& entry : entries_) {
    statuses.push_back(entry.status);
    statuses.back().queue_length = entry.queue_length();
  }
  return aggregate_status(statuses);
}

std::vector<RefreshTarget> WorkerTable::refresh_targets() const {
  std::vector<RefreshTarget> targets;
  targets.reserve(entries_.size());
  for (const WorkerEntry& entry : entries_) targets.push_back({entry.name, entry.registration});
  return targets;
}

std::vector<std::string> WorkerTable::replace_after_refresh(
    const std::vector<RefreshResult>& results, TimePoint now) {
  std::vector<std::string> removed;
  for (const RefreshResult& result : results) {
    WorkerEntry* entry = find(result.target.name);
    if (entry == nullptr || entry->registration != result.target.registration) continue;
    if (!result.status || !is_acceptable(*result.status)) {
      removed.push_back(entry->name);
      unregister_worker(removed.back());
      continue;
    }
    entry->status = *result.status;
    entry->num_dispatched = 0;
    entry->last_heart_beat = now;
    clear_failures(*entry);
  }
  return removed;
}

}  // namespace llava::serve
