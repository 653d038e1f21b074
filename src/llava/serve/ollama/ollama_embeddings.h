// SPDX-License-Identifier: Apache-2.0
//
// Ollama's /api/embed, and /api/embeddings of its older clients.
#pragma once

#include "llava/serve/chat/model_service.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

/// Adds both routes; `service` outlives the router's server.
void add_ollama_embedding_routes(Router& router, ModelService& service);

}  // namespace llava::serve
