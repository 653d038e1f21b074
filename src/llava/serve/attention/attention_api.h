// SPDX-License-Identifier: Apache-2.0
//
// /v1/attention: where an answer looked.
#pragma once

#include "llava/serve/chat/model_service.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// Adds the route; `service` outlives the router's server.
void add_attention_route(Router& router, ModelService& service);

}  // namespace llava::serve
