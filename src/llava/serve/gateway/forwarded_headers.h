// SPDX-License-Identifier: Apache-2.0
//
// Which headers pass through a gateway: those named here, in either direction, and no others.
#pragma once

#include <string>
#include <vector>

#include "llava/serve/gateway/gateway_options.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// What shows a worker that it may answer: the gateway's token, or with --forward-authorization
/// what the client has shown.
std::vector<HttpHeader> worker_authorization(const HttpRequest& request,
                                             const GatewayOptions& options);

/// The headers of a request to a worker: authorization, the request's id, traceparent, tracestate,
/// Content-Type, Accept, and the client's address as X-Forwarded-For.
std::vector<HttpHeader> headers_for_worker(const RouteCall& call, const GatewayOptions& options);

/// Those of a worker's answer that the client gets: its type, how it may be kept, when to come
/// again, and what is left of a rate limit.
std::vector<HttpHeader> headers_for_client(const std::vector<HttpHeader>& headers);

}  // namespace llava::serve
