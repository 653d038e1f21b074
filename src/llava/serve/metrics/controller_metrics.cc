// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/metrics/controller_metrics.h"

namespace llava::serve {
namespace {

std::string state_of(const WorkerEntry& worker) {
  if (worker.is_suspect()) return "suspect";
  if (worker.is_draining()) return "draining";
  return worker.is_full() ? "full" : "ready";
}

}  // namespace

void ControllerMetrics::Rows::add(const MetricLabels& labels, double value) {
  used_[labels] += value;
}

void ControllerMetrics::Rows::end() {
  for (auto known = known_.begin(); known != known_.end();) {
    if (used_.contains(known->first)) {
      ++known;
      continue;
    }
    family_.Remove(known->second);
    known = known_.erase(known);
  }
  for (const auto& [labels, value] : used_) {
    prometheus::Gauge*& gauge = known_[labels];
    if (gauge == nullptr) gauge = &family_.Add(labels);
    gauge->Set(value);
  }
}

ControllerMetrics::ControllerMetrics()
    : dispatched_(families_.counters("llava_controller_dispatch_total",
                                     "Requests for a worker, by model, method and result")),
      workers_(families_.gauges("llava_controller_workers", "Workers, by model and state")),
      heartbeat_age_(families_.gauges("llava_controller_heartbeat_age_seconds",
                                      "Time since a worker was last heard of")),
      queue_length_(families_.gauges(
          "llava_controller_queue_length",
          "Requests that a worker has, as it said, and those dispatched to it since")) {}

void ControllerMetrics::count_dispatch(const std::string& model, DispatchMethod method,
                                       bool is_found) {
  dispatched_
      .Add({{"model", is_found ? model : "other"},
            {"method", std::string(dispatch_method_name(method))},
            {"result", is_found ? "worker" : "none"}})
      .Increment();
}

void ControllerMetrics::update(const WorkerTable& table, WorkerTable::TimePoint now) {
  workers_.begin();
  heartbeat_age_.begin();
  queue_length_.begin();
  for (const WorkerEntry& worker : table.entries()) {
    const MetricLabels name{{"worker", worker.name}};
    heartbeat_age_.add(name, std::chrono::duration<double>(now - worker.last_heart_beat).count());
    queue_length_.add(name, worker.queue_length());
    for (const std::string& model : worker.status.model_names) {
      workers_.add({{"model", model}, {"state", state_of(worker)}}, 1);
    }
  }
  workers_.end();
  heartbeat_age_.end();
  queue_length_.end();
}

}  // namespace llava::serve
