// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/ollama/ollama_embeddings.h"

#include <chrono>
#include <utility>

#include "llava/serve/embeddings/embedder.h"
#include "llava/serve/ollama/ollama_embed_request.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/float_lists.h"

namespace llava::serve {
namespace {

OrderedJson vectors_json(const RouteCall& call, Embedder& embedder,
                         const EmbeddingRequest& request) {
  OrderedJson vectors = OrderedJson::array();
  for (std::size_t i = 0; i < request.inputs.size() && !call.exchange->is_closed(); ++i) {
    vectors.push_back(float_list_json(embedder.embed(i), false));
  }
  return vectors;
}

void answer_embed(ModelService& service, const RouteCall& call) {
  const auto begun = std::chrono::steady_clock::now();
  const EmbeddingRequest request = read_ollama_embed(parse_body(call.request.body));
  service.check_model(request.model);
  Embedder embedder(service, request);
  OrderedJson vectors = vectors_json(call, embedder, request);
  const std::chrono::nanoseconds duration = std::chrono::steady_clock::now() - begun;
  call.exchange->respond(json_response({{"model", request.model},
                                        {"embeddings", std::move(vectors)},
                                        {"total_duration", duration.count()},
                                        {"load_duration", 0},
                                        {"prompt_eval_count", embedder.num_tokens()}}));
}

void answer_embeddings(ModelService& service, const RouteCall& call) {
  const EmbeddingRequest request = read_ollama_embeddings(parse_body(call.request.body));
  service.check_model(request.model);
  Embedder embedder(service, request);
  OrderedJson vectors = vectors_json(call, embedder, request);
  // Of an empty prompt, Ollama's vector is empty as well.
  OrderedJson first = vectors.empty() ? OrderedJson::array() : std::move(vectors.front());
  call.exchange->respond(json_response({{"embedding", std::move(first)}}));
}

}  // namespace

void add_ollama_embedding_routes(Router& router, ModelService& service) {
  const auto add = [&](const char* path, auto answer) {
    router.add("POST", path, Access::kKey, [&service, answer](RouteCall call) {
      const auto shared = std::make_shared<RouteCall>(std::move(call));
      service.prepare_later(shared->exchange,
                            [&service, shared, answer] { answer(service, *shared); });
    });
  };
  add("/api/embed", answer_embed);
  add("/api/embeddings", answer_embeddings);
}

}  // namespace llava::serve
