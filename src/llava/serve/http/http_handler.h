// SPDX-License-Identifier: Apache-2.0
//
// HttpHandler: what a server does with requests.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "llava/serve/http/http_exchange.h"
#include "llava/serve/http/http_message.h"

namespace llava::serve {

/// Threads: called from any of the server's threads, which must have it back within a millisecond.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;

  /// Looks at a request before its body is read: an answer refuses it. Also sets how large a body
  /// may be; `max_body_bytes` comes with the server's bound.
  virtual std::optional<HttpResponse> admit(const HttpRequest& head, uint64_t& max_body_bytes) = 0;
  /// Answers a request.
  virtual void handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) = 0;
  /// The answer to a request that never became one (malformed, too large, too slow): its text is
  /// `message`.
  virtual HttpResponse refuse(int status, const std::string& message) = 0;
};

}  // namespace llava::serve
