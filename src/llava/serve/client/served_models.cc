// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/client/served_models.h"

#include <utility>

#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::serve {

std::string first_model(OutgoingHttp& http, const std::string& url,
                        std::vector<HttpHeader> headers) {
  OutgoingRequest request{.url = url + "/v1/models", .body = {}, .headers = std::move(headers)};
  request.method = OutgoingRequest::Method::kGet;
  const OutgoingReply reply = http.fetch(request);
  if (!reply.end.is_ok()) {
    fail(ErrorCode::kUnavailable,
         "'{}' does not answer: {}: start a server, or give the address of another", request.url,
         reply.end.error.empty() ? fmt::format("status {}", reply.end.status) : reply.end.error);
  }
  const Json models = parse_json(reply.body, request.url);
  const Json::json_pointer first("/data/0/id");
  if (!models.contains(first) || !models[first].is_string()) {
    fail(ErrorCode::kBadFormat, "'{}' lists no models: give the name of one", request.url);
  }
  return models[first].get<std::string>();
}

}  // namespace llava::serve
