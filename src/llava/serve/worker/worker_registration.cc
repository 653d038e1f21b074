// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/worker/worker_registration.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/log.h"
#include "llava/serve/controller/worker_messages.h"
#include "llava/serve/legacy/wire_json.h"

namespace llava::serve {
namespace {

constexpr std::chrono::seconds kHeartBeatInterval{15};
constexpr std::chrono::milliseconds kFirstPause{500};
constexpr std::chrono::milliseconds kLongestPause{15'000};
constexpr std::chrono::seconds kAnswerTime{5};

/// Members that old controllers ignore.
void add_load(OrderedJson& json, const WorkerLoad& load) {
  if (load.kv_usage) json["kv_usage"] = *load.kv_usage;
  if (load.num_running) json["num_running"] = *load.num_running;
  if (load.num_waiting) json["num_waiting"] = *load.num_waiting;
  if (load.max_waiting) json["max_waiting"] = *load.max_waiting;
  if (load.is_draining) json["draining"] = *load.is_draining;
  if (load.version) json["version"] = *load.version;
}

}  // namespace

WorkerRegistrar::WorkerRegistrar(RegistrationOptions options, std::function<WorkerReport()> report)
    : options_(std::move(options)), report_(std::move(report)) {
  for (const std::string& controller : options_.controllers) {
    threads_.emplace_back(
        [this, controller](const std::stop_token& stop) { serve_controller(controller, stop); });
  }
}

WorkerRegistrar::~WorkerRegistrar() { threads_.clear(); }

void WorkerRegistrar::leave() {
  threads_.clear();
  const OrderedJson body = {{"worker_name", options_.worker_address}};
  for (const std::string& controller : options_.controllers) {
    // An original controller has no such path; it finds out by itself.
    post(controller + "/unregister_worker", compact_json(body));
  }
}

OutgoingReply WorkerRegistrar::post(const std::string& address, const std::string& body) {
  OutgoingRequest request{.url = address, .body = body};
  request.connect_time = kAnswerTime;
  request.total_time = kAnswerTime;
  if (!options_.token.empty()) {
    request.headers.push_back({"Authorization", "Bearer " + options_.token});
  }
  return outgoing_.fetch(std::move(request));
}

bool WorkerRegistrar::register_at(const std::string& controller) {
  const WorkerReport report = report_();
  OrderedJson body = {{"worker_name", options_.worker_address}, {"check_heart_beat", true}};
  body["worker_status"] = worker_status_json(report.status);
  body["multimodal"] = report.is_multimodal;
  add_load(body, report.load);
  const OutgoingReply reply = post(controller + "/register_worker", compact_json(body));
  if (reply.end.is_ok()) {
    log_info("register_to_controller", {{"controller", controller}});
    return true;
  }
  log_warning(
      "register_fails",
      {{"controller", controller}, {"status", reply.end.status}, {"error", reply.end.error}});
  return false;
}

std::optional<bool> WorkerRegistrar::send_heart_beat(const std::string& controller) {
  const WorkerReport report = report_();
  OrderedJson body = {{"worker_name", options_.worker_address}};
  body["queue_length"] = number_json(report.status.queue_length);
  add_load(body, report.load);
  const OutgoingReply reply = post(controller + "/receive_heart_beat", compact_json(body));
  if (!reply.end.is_ok()) {
    log_warning(
        "heart_beat_error",
        {{"controller", controller}, {"status", reply.end.status}, {"error", reply.end.error}});
    return std::nullopt;
  }
  try {
    return JsonObject(parse_json(reply.body, "heart beat"), controller).get_bool("exist");
  } catch (const Error&) {
    return std::nullopt;
  }
}

void WorkerRegistrar::serve_controller(const std::string& controller, const std::stop_token& stop) {
  bool is_registered = false;
  std::chrono::milliseconds pause = kFirstPause;
  while (!stop.stop_requested()) {
    bool is_ok = false;
    if (!is_registered) {
      is_registered = is_ok = register_at(controller);
    } else {
      const std::optional<bool> is_known = send_heart_beat(controller);
      is_ok = is_known.has_value();
      if (is_known == false) {
        is_registered = false;
        continue;
      }
    }
    const auto wait = is_ok ? std::chrono::milliseconds(kHeartBeatInterval) : pause;
    pause = is_ok ? kFirstPause : std::min(2 * pause, kLongestPause);
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, stop, wait, [] { return false; });
  }
}

}  // namespace llava::serve
