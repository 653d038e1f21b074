// SPDX-License-Identifier: Apache-2.0
//
// AdmittedRequest: what a request that has an answer written goes through before a worker is
// looked for: moderation, and the wait for a place.
#pragma once

#include <memory>
#include <optional>

#include "llava/serve/gateway/gateway_parts.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// Lives until the request is passed on or refused. Its members belong to one thread at a time.
class AdmittedRequest : public std::enable_shared_from_this<AdmittedRequest> {
 public:
  /// `parts` outlives the request.
  AdmittedRequest(GatewayParts& parts, RouteCall call, bool is_moderated);

  /// Begins, on a thread of the pool.
  void start();

 private:
  void moderate();
  void take_verdict(std::optional<bool> is_flagged);
  void wait_for_place();
  void pass_on(std::shared_ptr<void> place);
  void refuse(const ApiError& error);

  GatewayParts& parts_;
  RouteCall call_;
  std::shared_ptr<HttpExchange> exchange_;
  bool is_moderated_;
};

}  // namespace llava::serve
