// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/forwarded_headers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace llava::serve {
namespace {

constexpr std::array kToWorker = {"Content-Type", "Accept", "traceparent", "tracestate"};
constexpr std::array kAuthorization = {"Authorization", "x-api-key"};
constexpr std::array kToClient = {"Content-Type", "Cache-Control", "X-Accel-Buffering",
                                  "Retry-After"};
constexpr std::string_view kRateLimit = "x-ratelimit-";

template <class Names>
void copy_headers(const HttpRequest& request, const Names& names, std::vector<HttpHeader>& to) {
  for (const char* name : names) {
    if (const auto value = request.header(name)) to.push_back({name, std::string(*value)});
  }
}

}  // namespace

std::vector<HttpHeader> worker_authorization(const HttpRequest& request,
                                             const GatewayOptions& options) {
  std::vector<HttpHeader> headers;
  if (options.forward_authorization) {
    copy_headers(request, kAuthorization, headers);
  } else if (!options.worker_token.empty()) {
    headers.push_back({"Authorization", fmt::format("Bearer {}", options.worker_token)});
  }
  return headers;
}

std::vector<HttpHeader> headers_for_worker(const RouteCall& call, const GatewayOptions& options) {
  std::vector<HttpHeader> headers = worker_authorization(call.request, options);
  headers.push_back({"X-Request-Id", call.id});
  headers.push_back({"X-Forwarded-For", call.request.client_address});
  copy_headers(call.request, kToWorker, headers);
  return headers;
}

std::vector<HttpHeader> headers_for_client(const std::vector<HttpHeader>& headers) {
  std::vector<HttpHeader> kept;
  for (const HttpHeader& header : headers) {
    const bool is_named = std::ranges::any_of(
        kToClient, [&](const char* name) { return equals_ignoring_case(header.name, name); });
    const bool is_limit = equals_ignoring_case(
        std::string_view(header.name).substr(0, kRateLimit.size()), kRateLimit);
    if (is_named || is_limit) kept.push_back(header);
  }
  return kept;
}

}  // namespace llava::serve
