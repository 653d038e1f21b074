// SPDX-License-Identifier: Apache-2.0
//
// HttpMetrics: what every server says of itself, whatever it serves.
#pragma once

#include <string>
#include <vector>

#include "llava/serve/http/http_server.h"
#include "llava/serve/metrics/metric_families.h"
#include "llava/serve/routing/request_record.h"

namespace llava::serve {

/// Threads: safe.
class HttpMetrics {
 public:
  HttpMetrics();

  /// A request that a route takes, named by its pattern.
  void count_received(const std::string& route);
  /// A request that has been answered, or refused.
  void count_request(const RequestRecord& record);
  /// What is so at this moment, for a scrape.
  void update(const HttpServerStats& http, bool is_draining);
  std::vector<prometheus::MetricFamily> collect() const { return families_.collect(); }

 private:
  MetricFamilies families_;
  prometheus::Family<prometheus::Counter>& received_;
  prometheus::Family<prometheus::Counter>& requests_;
  prometheus::Family<prometheus::Histogram>& seconds_;
  prometheus::Gauge& connections_;
  prometheus::Gauge& body_bytes_;
  prometheus::Gauge& draining_;
  prometheus::Gauge& resident_;
  prometheus::Gauge& open_fds_;
};

}  // namespace llava::serve
