// SPDX-License-Identifier: Apache-2.0
//
// OpenAI's /v1/batches.
#pragma once

#include "llava/serve/batches/batch_runner.h"
#include "llava/serve/chat/model_service.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// Adds the routes; what is given outlives the router's server.
void add_batches_routes(Router& router, ModelService& service, BatchRunner& batches);

}  // namespace llava::serve
