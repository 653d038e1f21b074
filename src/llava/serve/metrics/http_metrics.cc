// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/metrics/http_metrics.h"

#include <chrono>
#include <filesystem>

#include "llava/core/memory_use.h"
#include "llava/core/version.h"

namespace llava::serve {
namespace {

// Static initialisation is close enough to the process's start.
const double kStartSeconds =
    std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();

/// Descriptors that the process has open; 0 where the system does not say.
double num_open_descriptors() {
  std::error_code error;
  std::filesystem::directory_iterator entries("/proc/self/fd", error);
  double count = 0;
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    ++count;
  }
  // The listing itself is one of them.
  return count > 0 ? count - 1 : 0;
}

// Paths without a route are whatever clients make up: they share one label.
std::string route_label(const std::string& route) { return route.empty() ? "other" : route; }

}  // namespace

HttpMetrics::HttpMetrics()
    : received_(families_.counters("llava_requests_received_total",
                                   "Requests that a route has taken, answered or not yet")),
      requests_(
          families_.counters("llava_http_requests_total",
                             "Requests that have been answered, by route, method and status")),
      seconds_(
          families_.histograms("llava_http_request_seconds",
                               "Time from the last byte of a request to the end of its answer")),
      connections_(families_.gauge("llava_http_connections", "Open connections")),
      body_bytes_(families_.gauge("llava_http_inflight_body_bytes",
                                  "Bytes of bodies that are read or answered")),
      draining_(
          families_.gauge("llava_draining", "Whether the server is about to stop: 1, else 0")),
      resident_(families_.gauge("process_resident_memory_bytes", "Memory of the process")),
      open_fds_(families_.gauge("process_open_fds", "Open descriptors of the process")) {
  families_.gauge("process_start_time_seconds", "Start of the process in seconds of Unix time")
      .Set(kStartSeconds);
  families_.gauges("llava_build_info", "Version of the program")
      .Add({{"version", std::string(kVersion)}, {"revision", std::string(kRevision)}})
      .Set(1);
}

void HttpMetrics::count_received(const std::string& route) {
  received_.Add({{"endpoint", route_label(route)}}).Increment();
}

void HttpMetrics::count_request(const RequestRecord& record) {
  const std::string path = route_label(record.route);
  requests_
      .Add({{"path", path}, {"method", record.method}, {"code", std::to_string(record.status)}})
      .Increment();
  seconds_.Add({{"path", path}}, kRequestBuckets).Observe(record.milliseconds / 1000);
}

void HttpMetrics::update(const HttpServerStats& http, bool is_draining) {
  connections_.Set(static_cast<double>(http.connections));
  body_bytes_.Set(static_cast<double>(http.body_bytes));
  draining_.Set(is_draining ? 1 : 0);
  resident_.Set(static_cast<double>(memory_use().bytes));
  open_fds_.Set(num_open_descriptors());
}

}  // namespace llava::serve
