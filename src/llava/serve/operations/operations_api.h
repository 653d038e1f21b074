// SPDX-License-Identifier: Apache-2.0
//
// Routes for those who run the server and for clients that ask what they may: limits, a check that
// generates, ending requests, emptying caches, draining.
#pragma once

#include <functional>

#include "llava/serve/chat/model_service.h"
#include "llava/serve/routing/router.h"
#include "llava/serve/server/server_options.h"

namespace llava::serve {

/// Adds /limits, /health_generate, /flush_cache and /abort_request; with an administrators' key
/// file also /admin/abort and /admin/drain, which calls `drain`. All that is given outlives the
/// router's server.
void add_operations_routes(Router& router, ModelService& service, const ServerOptions& options,
                           const std::function<bool()>& is_ready, std::function<void()> drain);

}  // namespace llava::serve
