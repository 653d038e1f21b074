// SPDX-License-Identifier: Apache-2.0
//
// WorkerKinds: which workers answer OpenAI's API themselves, and which are the original's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "llava/core/guarded.h"
#include "llava/serve/client/outgoing_http.h"

namespace llava::serve {

enum class WorkerKind : uint8_t {
  kModern,    ///< has /v1
  kOriginal,  ///< has the original's protocol only
};

/// Finds out by GET /v1/models, once for each worker, and remembers.
///
/// Threads: safe.
class WorkerKinds {
 public:
  /// `http` outlives the object.
  explicit WorkerKinds(OutgoingHttp& http) : http_(http) {}

  /// Calls back, at once or on the thread of `http`; nothing when the worker does not answer.
  /// `headers` are those that it wants to be shown.
  void find(const std::string& worker, std::vector<HttpHeader> headers,
            std::function<void(std::optional<WorkerKind>)> on_kind);
  /// What listens there may be another program next time.
  void forget(const std::string& worker);

 private:
  OutgoingHttp& http_;
  Guarded<std::map<std::string, WorkerKind>> known_;
};

}  // namespace llava::serve
