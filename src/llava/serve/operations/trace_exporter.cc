// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/operations/trace_exporter.h"

#include <fmt/format.h>

#include <chrono>
#include <random>
#include <utility>

#include "llava/core/log.h"
#include "llava/core/version.h"

namespace llava::serve {
namespace {

constexpr std::chrono::seconds kInterval{5};
constexpr std::size_t kMaxWaiting = 8192;
constexpr std::chrono::seconds kSendTime{10};
constexpr int kServerSpan = 2;    // SPAN_KIND_SERVER
constexpr int kInternalSpan = 1;  // SPAN_KIND_INTERNAL
constexpr int kErrorStatus = 2;   // STATUS_CODE_ERROR

std::string random_hex(int num_words) {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  std::string text;
  for (int i = 0; i < num_words; ++i) text += fmt::format("{:016x}", generator() | 1);
  return text;
}

OrderedJson text_attribute(const char* key, const std::string& value) {
  return {{"key", key}, {"value", {{"stringValue", value}}}};
}
OrderedJson number_attribute(const char* key, int64_t value) {
  // OTLP writes 64-bit numbers as texts.
  return {{"key", key}, {"value", {{"intValue", std::to_string(value)}}}};
}

std::string nanoseconds(std::chrono::system_clock::time_point from, double milliseconds) {
  const auto start =
      std::chrono::duration_cast<std::chrono::nanoseconds>(from.time_since_epoch()).count();
  return std::to_string(start + static_cast<int64_t>(milliseconds * 1e6));
}

OrderedJson span_json(const std::string& trace, const std::string& parent, const std::string& name,
                      int kind, const RequestRecord& record, double begin_ms, double end_ms) {
  OrderedJson span;
  span["traceId"] = trace;
  span["spanId"] = random_hex(1);
  if (!parent.empty()) span["parentSpanId"] = parent;
  span["name"] = name;
  span["kind"] = kind;
  span["startTimeUnixNano"] = nanoseconds(record.received, begin_ms);
  span["endTimeUnixNano"] = nanoseconds(record.received, end_ms);
  return span;
}

}  // namespace

std::vector<OrderedJson> spans_of(const RequestRecord& record) {
  std::string trace = random_hex(2);
  std::string parent;
  if (!record.trace_parent.empty()) {
    // 00-TRACE-SPAN-FLAGS; the lowest bit of the flags says that it is recorded.
    trace = record.trace_parent.substr(3, 32);
    parent = record.trace_parent.substr(36, 16);
    if ((std::stoi(record.trace_parent.substr(53), nullptr, 16) & 1) == 0) return {};
  }
  std::vector<OrderedJson> spans;
  OrderedJson root = span_json(trace, parent, fmt::format("{} {}", record.method, record.route),
                               kServerSpan, record, 0, record.milliseconds);
  const std::string root_id = root["spanId"].get<std::string>();
  OrderedJson attributes =
      OrderedJson::array({text_attribute("http.request.method", record.method),
                          text_attribute("http.route", record.route),
                          number_attribute("http.response.status_code", record.status),
                          text_attribute("llava.request_id", record.id)});
  const RequestCost& cost = record.cost;
  if (!cost.model.empty()) {
    attributes.push_back(text_attribute("gen_ai.request.model", cost.model));
    attributes.push_back(text_attribute("gen_ai.response.finish_reason", cost.finish_reason));
    attributes.push_back(number_attribute("gen_ai.usage.input_tokens", cost.prompt_tokens));
    attributes.push_back(number_attribute("gen_ai.usage.output_tokens", cost.completion_tokens));
    attributes.push_back(number_attribute("llava.image_tokens", cost.image_tokens));
    attributes.push_back(number_attribute("llava.cached_tokens", cost.cached_tokens));
  }
  root["attributes"] = std::move(attributes);
  if (record.status >= 500) root["status"] = {{"code", kErrorStatus}};
  spans.push_back(std::move(root));
  if (cost.model.empty()) return spans;
  double begin = 0;
  for (const auto& [name, ms] :
       {std::pair{"preprocess", cost.preprocess_ms}, std::pair{"queue", cost.queue_ms},
        std::pair{"prefill", cost.prefill_ms}, std::pair{"decode", cost.decode_ms}}) {
    spans.push_back(span_json(trace, root_id, name, kInternalSpan, record, begin, begin + ms));
    begin += ms;
  }
  return spans;
}

TraceExporter::TraceExporter(const std::string& endpoint) : url_(endpoint) {
  while (url_.ends_with('/')) url_.pop_back();
  url_ += "/v1/traces";
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

TraceExporter::~TraceExporter() {
  thread_.request_stop();
  thread_.join();
}

void TraceExporter::add(const RequestRecord& record) {
  std::vector<OrderedJson> spans = spans_of(record);
  const std::lock_guard lock(mutex_);
  if (spans_.size() + spans.size() > kMaxWaiting) {
    num_dropped_ += spans.size();
    return;
  }
  for (OrderedJson& span : spans) spans_.push_back(std::move(span));
}

void TraceExporter::run(const std::stop_token& stop) {
  for (bool is_last = false; !is_last;) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, kInterval, [] { return false; });
    is_last = stop.stop_requested();
    std::vector<OrderedJson> spans = std::exchange(spans_, {});
    const std::size_t num_dropped = std::exchange(num_dropped_, 0);
    lock.unlock();
    if (num_dropped > 0) log_warning("spans_dropped", {{"count", num_dropped}});
    if (!spans.empty()) send(std::move(spans));
  }
}

void TraceExporter::send(std::vector<OrderedJson> spans) {
  const std::size_t count = spans.size();
  OrderedJson scope;
  scope["scope"] = {{"name", "llava"}, {"version", std::string(kVersion)}};
  scope["spans"] = std::move(spans);
  OrderedJson resource;
  resource["resource"]["attributes"] =
      OrderedJson::array({text_attribute("service.name", "llava")});
  resource["scopeSpans"] = OrderedJson::array({std::move(scope)});
  OrderedJson body;
  body["resourceSpans"] = OrderedJson::array({std::move(resource)});
  OutgoingRequest request{.url = url_, .body = to_text(body)};
  request.total_time = kSendTime;
  const OutgoingReply reply = http_.fetch(std::move(request));
  if (reply.end.is_ok()) return;
  log_warning("spans_not_sent",
              {{"count", count}, {"status", reply.end.status}, {"reason", reply.end.error}});
}

}  // namespace llava::serve
