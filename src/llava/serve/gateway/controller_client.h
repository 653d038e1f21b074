// SPDX-License-Identifier: Apache-2.0
//
// ControllerClient: what a gateway asks its controllers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "llava/serve/client/outgoing_http.h"
#include "llava/serve/gateway/known_workers.h"

namespace llava::serve {

/// Which worker is wanted.
struct WorkerQuery {
  std::string model;
  /// Requests that share it go to the same worker, where the controller dispatches so.
  std::string prefix_key;
  /// Workers that are not to be named; an original controller names them nevertheless.
  std::vector<std::string> tried;
};

/// Asks one controller after the other until one answers; while none does, what they said in the
/// last minute holds. Callbacks run on the thread of `http`.
///
/// Threads: safe.
class ControllerClient {
 public:
  /// `http` outlives the client.
  ControllerClient(OutgoingHttp& http, std::vector<std::string> controllers, std::string token);

  /// The worker's address, empty when there is none; nothing when no controller answers.
  void find_worker(const WorkerQuery& query,
                   std::function<void(std::optional<std::string> address)> on_address);
  /// The names of all models; nothing when no controller answers.
  void list_models(std::function<void(std::optional<std::vector<std::string>> names)> on_names);
  /// Has the first controller that answers ask all of its workers whether they are there;
  /// `on_end` is called whatever came of it.
  void refresh_workers(std::function<void()> on_end);
  /// Tells every controller that a worker cannot be used.
  void report_failure(const std::string& worker);

 private:
  using OnBody = std::function<void(std::optional<std::string> body)>;

  void ask(std::size_t index, const std::string& path, const std::string& body, OnBody on_body);
  OutgoingRequest request_to(const std::string& controller, const std::string& path,
                             const std::string& body) const;

  OutgoingHttp& http_;
  std::vector<std::string> controllers_;
  std::string token_;
  KnownWorkers known_;
};

}  // namespace llava::serve
