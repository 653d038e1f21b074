// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/worker_kinds.h"

#include <chrono>
#include <utility>

#include "llava/core/log.h"

namespace llava::serve {
namespace {

/// An original's worker may be computing when it is asked.
constexpr std::chrono::seconds kAnswerTime{10};
constexpr std::size_t kMostRemembered = 4096;

}  // namespace

void WorkerKinds::find(const std::string& worker, std::vector<HttpHeader> headers,
                       std::function<void(std::optional<WorkerKind>)> on_kind) {
  const auto known = known_.with([&](const auto& kinds) {
    const auto found = kinds.find(worker);
    return found == kinds.end() ? std::nullopt : std::optional(found->second);
  });
  if (known) return on_kind(known);
  OutgoingRequest request{.url = worker + "/v1/models", .body = {}, .headers = std::move(headers)};
  request.method = OutgoingRequest::Method::kGet;
  request.silence_time = kAnswerTime;
  request.total_time = kAnswerTime;
  http_.fetch(
      std::move(request), [this, worker, on_kind = std::move(on_kind)](const OutgoingReply& reply) {
        if (!reply.end.error.empty()) return on_kind(std::nullopt);
        // Whatever else a worker says, of keys or that it is loading, the path is there.
        const auto kind = reply.end.status == 404 ? WorkerKind::kOriginal : WorkerKind::kModern;
        log_info("worker_kind", {{"worker", worker},
                                 {"kind", kind == WorkerKind::kModern ? "modern" : "original"}});
        known_.with([&](auto& kinds) {
          if (kinds.size() >= kMostRemembered) kinds.clear();
          kinds[worker] = kind;
        });
        on_kind(kind);
      });
}

void WorkerKinds::forget(const std::string& worker) {
  known_.with([&](auto& kinds) { kinds.erase(worker); });
}

}  // namespace llava::serve
