// SPDX-License-Identifier: Apache-2.0
//
// TraceExporter: requests as spans, sent to a collector of OpenTelemetry.
#pragma once

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "llava/core/json.h"
#include "llava/serve/client/outgoing_http.h"
#include "llava/serve/routing/request_record.h"

namespace llava::serve {

/// The spans of a request: itself, and its stages below it (serving.md 6.17). It belongs to the
/// client's trace where that named one, else to a trace of its own; none for a trace that is not
/// sampled. Source: OTLP 1.3, JSON form.
std::vector<OrderedJson> spans_of(const RequestRecord& record);

/// Sends every few seconds, by OTLP/HTTP in JSON. What a collector does not take is dropped, and
/// said in the log.
///
/// Threads: `add` is safe and returns at once.
class TraceExporter {
 public:
  /// `endpoint` is the collector's address, "http://localhost:4318"; "/v1/traces" is appended.
  explicit TraceExporter(const std::string& endpoint);
  /// Sends what is left.
  ~TraceExporter();
  TraceExporter(const TraceExporter&) = delete;
  TraceExporter& operator=(const TraceExporter&) = delete;

  void add(const RequestRecord& record);

 private:
  void run(const std::stop_token& stop);
  void send(std::vector<OrderedJson> spans);

  std::string url_;
  OutgoingHttp http_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::vector<OrderedJson> spans_;
  std::size_t num_dropped_ = 0;
  std::jthread thread_;
};

}  // namespace llava::serve
