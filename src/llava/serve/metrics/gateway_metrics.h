// SPDX-License-Identifier: Apache-2.0
//
// GatewayMetrics: what became of the requests that a gateway gave to workers.
#pragma once

#include <string>

#include "llava/serve/metrics/metric_families.h"

namespace llava::serve {

/// Threads: safe.
class GatewayMetrics {
 public:
  /// A worker has answered, whatever its answer, or was lost.
  void count_attempt(const std::string& worker, bool is_answered) {
    attempts_.Add({{"worker", worker}, {"result", is_answered ? "answered" : "lost"}}).Increment();
  }
  /// A request went to one more worker.
  void count_retry() { retries_.Increment(); }
  /// The numbers, with that of workers which are left alone at this moment.
  std::string scrape(std::size_t num_open_circuits) {
    open_circuits_.Set(static_cast<double>(num_open_circuits));
    return metrics_text(families_.collect());
  }

 private:
  MetricFamilies families_;
  prometheus::Family<prometheus::Counter>& attempts_ = families_.counters(
      "llava_gateway_attempts_total", "Requests given to workers, by worker and result");
  prometheus::Counter& retries_ = families_.counter("llava_gateway_retries_total",
                                                    "Requests that were given to one more worker");
  prometheus::Gauge& open_circuits_ = families_.gauge(
      "llava_gateway_open_circuits", "Workers that are left alone because they failed");
};

}  // namespace llava::serve
