// SPDX-License-Identifier: Apache-2.0
//
// ModelNames: the list of models that a gateway shows, as fresh as it is wanted.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "llava/core/guarded.h"
#include "llava/serve/gateway/controller_client.h"

namespace llava::serve {

/// Where the list comes from.
enum class ModelListMode : uint8_t {
  kDirect,  ///< what the controller says when it is asked
  kOnce,    ///< what it said when the server began
  kReload,  ///< what it says after it has asked all workers, at most every 5 s
};

/// Threads: safe.
class ModelNames {
 public:
  using OnNames = std::function<void(std::optional<std::vector<std::string>> names)>;
  using Time = std::chrono::steady_clock::time_point;

  /// With kOnce asks now, and waits for the answer; `controllers` outlives this.
  ///
  /// Throws: Error(kUnavailable) with kOnce when no controller answers.
  ModelNames(ModelListMode mode, ControllerClient& controllers);

  /// The names; nothing when no controller answers. `on_names` is called at once, or later on the
  /// outgoing client's thread.
  void list(const OnNames& on_names);

 private:
  struct Known {
    std::vector<std::string> names;
    Time time;
  };

  void refresh(const OnNames& on_names);

  ModelListMode mode_;
  ControllerClient& controllers_;
  Guarded<std::optional<Known>> known_;
};

/// By name, but the original's first two in front: vicuna-13b and koala-13b.
std::vector<std::string> in_page_order(std::vector<std::string> names);

}  // namespace llava::serve
