// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/admitted_request.h"

#include <atomic>
#include <boost/asio/post.hpp>
#include <string>
#include <utility>

#include "llava/core/log.h"
#include "llava/serve/gateway/proxied_request.h"
#include "llava/serve/moderation/moderated_text.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"

namespace llava::serve {
namespace {

/// The original's words.
constexpr const char* kModerationText =
    "YOUR INPUT VIOLATES OUR CONTENT MODERATION GUIDELINES. PLEASE TRY AGAIN.";

}  // namespace

AdmittedRequest::AdmittedRequest(GatewayParts& parts, RouteCall call, bool is_moderated)
    : parts_(parts),
      call_(std::move(call)),
      exchange_(call_.exchange),
      is_moderated_(is_moderated) {}

void AdmittedRequest::start() {
  if (!is_moderated_) return wait_for_place();
  boost::asio::post(parts_.pool, [self = shared_from_this()] {
    try {
      self->moderate();
    } catch (const ApiError& error) {
      self->refuse(error);
    } catch (const std::exception& error) {
      log_error("gateway", {{"error", error.what()}});
      self->refuse(ApiError(500, "internal_error", "internal error"));
    }
  });
}

void AdmittedRequest::moderate() {
  const std::string text = moderated_text(parse_body(call_.request.body));
  if (text.empty()) return wait_for_place();
  parts_.moderator->check(text, [self = shared_from_this()](std::optional<bool> is_flagged) {
    self->take_verdict(is_flagged);
  });
}

void AdmittedRequest::take_verdict(std::optional<bool> is_flagged) {
  if (exchange_->is_closed()) return;
  if (is_flagged.value_or(false)) {
    log_warning("moderation_flags", {{"id", call_.id}, {"client", call_.client}});
    return refuse(ApiError(400, "content_moderated", kModerationText));
  }
  if (is_flagged || parts_.moderator->fails_open()) return wait_for_place();
  ApiError error(503, "moderation_unavailable",
                 "the moderation service does not answer, and nothing is answered without it");
  error.retry_after = 1;
  refuse(error);
}

void AdmittedRequest::wait_for_place() {
  if (!parts_.gate) return pass_on(nullptr);
  // Set before the answer sets its own.
  const auto number = std::make_shared<std::atomic<uint64_t>>(0);
  exchange_->on_close([gate = parts_.gate, number](CloseReason) { gate->leave(*number); });
  *number = parts_.gate->enter([self = shared_from_this()](Permit place) {
    if (self->exchange_->is_closed() || self->parts_.is_stopping) return;
    self->pass_on(std::move(place));
  });
}

void AdmittedRequest::pass_on(std::shared_ptr<void> place) {
  std::make_shared<ProxiedRequest>(parts_, std::move(call_), std::string(), std::move(place))
      ->start();
}

void AdmittedRequest::refuse(const ApiError& error) { exchange_->respond(error_response(error)); }

}  // namespace llava::serve
