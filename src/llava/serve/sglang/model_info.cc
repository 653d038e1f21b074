// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/sglang/model_info.h"

#include <fmt/format.h>

#include <utility>

#include "llava/core/error.h"
#include "llava/core/json.h"

namespace llava::serve {

OutgoingRequest SglangEndpoint::request(const std::string& path, std::string body) const {
  OutgoingRequest request{.url = url + path, .body = std::move(body)};
  if (!api_key.empty()) {
    request.headers.push_back({"Authorization", fmt::format("Bearer {}", api_key)});
  }
  return request;
}

SglangModel ask_model_info(OutgoingHttp& http, const SglangEndpoint& endpoint) {
  OutgoingRequest request = endpoint.request("/get_model_info");
  request.method = OutgoingRequest::Method::kGet;
  const std::string address = request.url;
  const OutgoingReply reply = http.fetch(std::move(request));
  if (!reply.end.is_ok()) {
    fail(ErrorCode::kUnavailable,
         "'{}' does not answer: {}; start the SGLang server first, and see --sgl-endpoint and "
         "--sgl-api-key",
         address,
         reply.end.error.empty() ? fmt::format("status {}", reply.end.status) : reply.end.error);
  }
  const Json json = parse_json(reply.body, address);
  const JsonObject info(json, address);
  const auto path = info.get_string("model_path");
  if (!path || path->empty()) {
    fail(ErrorCode::kBadFormat,
         "'{}' answers without model_path: expected an SGLang server; see --sgl-endpoint", address);
  }
  return {.path = *path,
          .sees_images = info.get_bool("has_image_understanding")
                             .value_or(path->find("llava") != std::string::npos)};
}

}  // namespace llava::serve
