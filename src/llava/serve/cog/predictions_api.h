// SPDX-License-Identifier: Apache-2.0
//
// /predictions, as the original's Cog image answers it (serving.md 5.4).
#pragma once

#include "llava/serve/chat/model_service.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// Adds the route; `service` outlives the router's server.
void add_predictions_route(Router& router, ModelService& service);

}  // namespace llava::serve
