// SPDX-License-Identifier: Apache-2.0
//
// The requests of Ollama's /api/embed, and of /api/embeddings of its older clients.
#pragma once

#include "llava/serve/embeddings/embedding_request.h"

namespace llava::serve {

/// Reads the body of /api/embed: a text or several.
///
/// Throws: ApiError naming the field.
EmbeddingRequest read_ollama_embed(const OrderedJson& body);

/// Reads the body of /api/embeddings: one prompt; none is no input.
///
/// Throws: ApiError naming the field.
EmbeddingRequest read_ollama_embeddings(const OrderedJson& body);

}  // namespace llava::serve
