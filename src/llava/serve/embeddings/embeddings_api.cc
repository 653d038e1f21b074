// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/embeddings/embeddings_api.h"

#include <utility>

#include "llava/serve/embeddings/embedder.h"
#include "llava/serve/embeddings/embedding_request.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"
#include "llava/serve/protocol/float_lists.h"

namespace llava::serve {
namespace {

void answer_embeddings(ModelService& service, const RouteCall& call,
                       const EmbeddingRequest& request) {
  Embedder embedder(service, request);
  OrderedJson data = OrderedJson::array();
  for (std::size_t i = 0; i < request.inputs.size(); ++i) {
    if (call.exchange->is_closed()) return;
    data.push_back({{"object", "embedding"},
                    {"index", i},
                    {"embedding", float_list_json(embedder.embed(i), request.is_base64)}});
  }
  call.exchange->respond(json_response(
      {{"object", "list"},
       {"data", std::move(data)},
       {"model", service.names().front()},
       {"usage",
        {{"prompt_tokens", embedder.num_tokens()}, {"total_tokens", embedder.num_tokens()}}}}));
}

}  // namespace

void add_embeddings_route(Router& router, ModelService& service) {
  router.add("POST", "/v1/embeddings", Access::kKey, [&service](RouteCall call) {
    const auto shared = std::make_shared<RouteCall>(std::move(call));
    service.prepare_later(shared->exchange, [&service, shared] {
      const auto request = std::make_shared<EmbeddingRequest>(
          read_embedding_request(parse_body(shared->request.body), service.limits()));
      service.check_model(request->model);
      service.with_images(*shared, request->images, [&service, shared, request] {
        answer_embeddings(service, *shared, *request);
      });
    });
  });
}

}  // namespace llava::serve
