// SPDX-License-Identifier: Apache-2.0
//
// ControllerMetrics: the controller's table of workers as numbers, and what it dispatched.
#pragma once

#include <string>

#include "llava/serve/controller/dispatch.h"
#include "llava/serve/controller/worker_table.h"
#include "llava/serve/metrics/metric_families.h"

namespace llava::serve {

/// Threads: safe, `update` from one at a time.
class ControllerMetrics {
 public:
  ControllerMetrics();

  /// A request for a worker of `model`; whether there was one. Names that no worker ever had are
  /// whatever clients make up: they share a label.
  void count_dispatch(const std::string& model, DispatchMethod method, bool is_found);
  /// The numbers of the table as it is now; those of workers that left are gone.
  void update(const WorkerTable& table, WorkerTable::TimePoint now);
  std::vector<prometheus::MetricFamily> collect() const { return families_.collect(); }

 private:
  /// Gauges of what comes and goes.
  class Rows {
   public:
    explicit Rows(prometheus::Family<prometheus::Gauge>& family) : family_(family) {}
    void begin() { used_.clear(); }
    void add(const MetricLabels& labels, double value);
    /// Removes those that were not added again.
    void end();

   private:
    prometheus::Family<prometheus::Gauge>& family_;
    std::map<MetricLabels, prometheus::Gauge*> known_;
    std::map<MetricLabels, double> used_;
  };

  MetricFamilies families_;
  prometheus::Family<prometheus::Counter>& dispatched_;
  Rows workers_;
  Rows heartbeat_age_;
  Rows queue_length_;
};

}  // namespace llava::serve
