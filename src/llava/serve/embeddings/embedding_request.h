// SPDX-License-Identifier: Apache-2.0
//
// The request of /v1/embeddings: texts, token ids and pictures.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "llava/engine/runner.h"
#include "llava/serve/protocol/chat_request.h"

namespace llava::serve {

/// What one vector is asked for: a text, ids, or the index of a picture.
using EmbeddingInput = std::variant<std::string, std::vector<int32_t>, std::size_t>;

struct EmbeddingRequest {
  std::string model;
  std::vector<EmbeddingInput> inputs;
  std::vector<ImageSource> images;
  engine::PicturePooling pooling = engine::PicturePooling::kProjected;
  bool is_normalized = true;
  /// Texts of more tokens than the context has are cut; else they are an error.
  bool is_truncated = false;
  bool is_base64 = false;
};

/// Reads a parsed body.
///
/// Throws: ApiError naming the field.
EmbeddingRequest read_embedding_request(const OrderedJson& body, const ChatLimits& limits);

}  // namespace llava::serve
