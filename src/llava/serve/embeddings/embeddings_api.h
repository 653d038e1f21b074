// SPDX-License-Identifier: Apache-2.0
//
// OpenAI's /v1/embeddings, for texts and pictures.
#pragma once

#include "llava/serve/chat/model_service.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// Adds the route; `service` outlives the router's server.
void add_embeddings_route(Router& router, ModelService& service);

}  // namespace llava::serve
