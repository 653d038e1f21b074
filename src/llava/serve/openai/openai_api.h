// SPDX-License-Identifier: Apache-2.0
//
// The routes of OpenAI's API, and vLLM's /tokenize and /detokenize beside them.
#pragma once

#include "llava/serve/chat/model_service.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// Adds the routes; `service` outlives the router's server.
void add_openai_routes(Router& router, ModelService& service);

}  // namespace llava::serve
