// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/operations/request_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <span>
#include <utility>

#include "llava/core/error.h"
#include "llava/core/hash.h"
#include "llava/core/json.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {
namespace {

constexpr std::size_t kHashDigits = 12;

Descriptor open_log(const std::string& file) {
  if (file == "-") return Descriptor(::dup(STDERR_FILENO));
  Descriptor out(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (out.get() < 0) {
    fail(ErrorCode::kNotFound, "cannot open '{}' for --request-log: {}", file,
         std::strerror(errno));
  }
  return out;
}

/// "2026-01-31T12:00:00.123Z".
std::string time_text(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch());
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     ms.count() % 1000);
}

double rounded(double milliseconds) { return std::round(milliseconds * 1000) / 1000; }

}  // namespace

RequestLog::RequestLog(const std::string& file, bool hashes_addresses)
    : file_(file), out_(open_log(file)) {
  if (hashes_addresses) salt_ = make_request_id() + make_request_id();
}

void RequestLog::reopen() {
  Descriptor next = open_log(file_);
  out_.with([&](Descriptor& out) { out = std::move(next); });
}

std::string RequestLog::address_text(const std::string& address) const {
  if (salt_.empty()) return address;
  const std::string salted = salt_ + address;
  return to_hex(sha256(std::as_bytes(std::span(salted)))).substr(0, kHashDigits);
}

void RequestLog::write(const RequestRecord& record) {
  OrderedJson line;
  line["time"] = time_text(record.received);
  line["id"] = record.id;
  line["key"] = record.key.empty() ? OrderedJson() : OrderedJson(record.key);
  line["address"] = address_text(record.address);
  line["method"] = record.method;
  line["endpoint"] = record.route;
  line["status"] = record.status;
  line["ms"] = rounded(record.milliseconds);
  if (!record.trace_parent.empty()) line["traceparent"] = record.trace_parent;
  const RequestCost& cost = record.cost;
  if (!cost.model.empty()) {
    line["model"] = cost.model;
    line["finish_reason"] = cost.finish_reason;
    line["prompt_tokens"] = cost.prompt_tokens;
    line["image_tokens"] = cost.image_tokens;
    line["cached_tokens"] = cost.cached_tokens;
    line["completion_tokens"] = cost.completion_tokens;
    line["preprocess_ms"] = rounded(cost.preprocess_ms);
    line["queue_ms"] = rounded(cost.queue_ms);
    line["encode_ms"] = rounded(cost.encode_ms);
    line["prefill_ms"] = rounded(cost.prefill_ms);
    line["decode_ms"] = rounded(cost.decode_ms);
  }
  if (!cost.prompt.empty()) {
    line["prompt"] = cost.prompt;
    line["answer"] = cost.answer;
  }
  const std::string text = to_text(line) + "\n";
  out_.with([&](const Descriptor& out) {
    // A log that cannot be written is no reason to stop answering.
    [[maybe_unused]] const ssize_t count = ::write(out.get(), text.data(), text.size());
  });
}

}  // namespace llava::serve
