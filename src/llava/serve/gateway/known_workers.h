// SPDX-License-Identifier: Apache-2.0
//
// KnownWorkers: what controllers said last, for the time in which none of them answers.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "llava/core/guarded.h"
#include "llava/core/random.h"

namespace llava::serve {

/// How long what a controller said may be used without it.
inline constexpr std::chrono::seconds kKnownTime{60};

/// Threads: safe.
class KnownWorkers {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// A controller named this worker for the model.
  void remember(const std::string& model, const std::string& worker, TimePoint now);
  /// A controller listed these models.
  void remember_models(std::vector<std::string> names, TimePoint now);
  /// The worker cannot be used.
  void forget(const std::string& worker);

  /// One of the workers named for the model lately and not in `tried`, by chance; nothing when
  /// there is none.
  std::optional<std::string> choose(const std::string& model, std::span<const std::string> tried,
                                    TimePoint now);
  /// The models listed lately; nothing when there was no list.
  std::optional<std::vector<std::string>> models(TimePoint now) const;

 private:
  struct State {
    std::map<std::pair<std::string, std::string>, TimePoint> workers;  ///< by model and worker
    std::vector<std::string> models;
    std::optional<TimePoint> listed;
    Generator random{std::random_device{}()};
  };
  Guarded<State> state_;
};

}  // namespace llava::serve
