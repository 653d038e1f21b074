// SPDX-License-Identifier: Apache-2.0
//
// A worker's word to its controllers: that it is there, how busy it is, that it leaves.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "llava/serve/client/outgoing_http.h"
#include "llava/serve/controller/worker_entry.h"

namespace llava::serve {

struct RegistrationOptions {
  std::string worker_address;            ///< the worker's name, where others reach it
  std::vector<std::string> controllers;  ///< base addresses; each is told by itself
  std::string token;                     ///< shown to them; empty: none
};

/// What a worker says of itself at a moment.
struct WorkerReport {
  WorkerStatus status;
  WorkerLoad load;
  bool is_multimodal = false;
};

/// Registers at once and whenever a controller has forgotten the worker, and sends a heartbeat
/// every 15 s; attempts that fail are repeated after 0.5 s, doubling to 15 s. A controller that is
/// away costs nobody but its own thread anything.
///
/// Threads: safe.
class WorkerRegistrar {
 public:
  /// `report` is called on threads of the object's own.
  WorkerRegistrar(RegistrationOptions options, std::function<WorkerReport()> report);
  /// Ends without a word; see `leave`.
  ~WorkerRegistrar();
  WorkerRegistrar(const WorkerRegistrar&) = delete;
  WorkerRegistrar& operator=(const WorkerRegistrar&) = delete;

  /// Tells every controller that the worker goes, and sends no heartbeat any more.
  void leave();

 private:
  void serve_controller(const std::string& controller, const std::stop_token& stop);
  bool register_at(const std::string& controller);
  /// Whether the controller knows the worker; nothing when it does not answer.
  std::optional<bool> send_heart_beat(const std::string& controller);
  OutgoingReply post(const std::string& address, const std::string& body);

  RegistrationOptions options_;
  std::function<WorkerReport()> report_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  OutgoingHttp outgoing_;
  std::vector<std::jthread> threads_;
};

}  // namespace llava::serve
