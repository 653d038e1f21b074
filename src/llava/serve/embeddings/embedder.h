// SPDX-License-Identifier: Apache-2.0
//
// Embedder: the vectors of one request.
#pragma once

#include <cstdint>
#include <vector>

#include "llava/serve/chat/model_service.h"
#include "llava/serve/embeddings/embedding_request.h"

namespace llava::serve {

/// Computes the vectors of a request one after the other, and counts the tokens.
///
/// Threads: one thread at a time.
class Embedder {
 public:
  /// `service` and `request` outlive it.
  Embedder(ModelService& service, const EmbeddingRequest& request)
      : service_(service), request_(request) {}

  /// The vector of `request.inputs[index]`, of the request's length and pooling.
  ///
  /// Throws: ApiError naming the input that has too many tokens, none, unknown ones, or a picture
  /// that cannot be read or that the model does not see.
  std::vector<float> embed(std::size_t index);
  /// Of all inputs so far.
  int64_t num_tokens() const { return num_tokens_; }

 private:
  std::vector<float> compute(const EmbeddingInput& input, std::size_t index);
  std::vector<float> embed_picture(const ImageSource& source);
  std::vector<float> embed_ids(std::vector<int32_t> ids, std::size_t index);

  ModelService& service_;
  const EmbeddingRequest& request_;
  int64_t num_tokens_ = 0;
};

}  // namespace llava::serve
