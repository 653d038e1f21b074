// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/protocol/api_error.h"

#include <utility>

namespace llava::serve {

ApiError::ApiError(int status, std::string code, const std::string& message, std::string param)
    : std::runtime_error(message),
      status_(status),
      code_(std::move(code)),
      param_(std::move(param)) {}

std::string_view ApiError::type() const {
  switch (status_) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 408:
    case 504:
      return "timeout_error";
    case 429:
      return "rate_limit_error";
    case 500:
    case 501:
    case 502:
      return "server_error";
    case 503:
      return "unavailable_error";
    default:
      return "invalid_request_error";
  }
}

ApiError to_api_error(const Error& error) {
  switch (error.code()) {
    case ErrorCode::kUnavailable: {
      ApiError overloaded(503, "overloaded", error.what());
      overloaded.retry_after = 1;
      return overloaded;
    }
    case ErrorCode::kResourceExhausted:
      return ApiError(503, "overloaded", error.what());
    case ErrorCode::kInternal:
      // Its text is for the log.
      return ApiError(500, "internal_error", "internal error");
    default:
      return ApiError(400, "invalid_value", error.what());
  }
}

OrderedJson error_body(const ApiError& error) {
  OrderedJson object;
  object["message"] = error.what();
  object["type"] = error.type();
  object["param"] = error.param().empty() ? OrderedJson() : OrderedJson(error.param());
  object["code"] = error.code();
  for (const auto& [name, value] : error.details.items()) object[name] = value;
  return {{"error", std::move(object)}};
}

void flatten_error(HttpResponse& response) {
  if (response.error_code.empty()) return;
  OrderedJson body = parse_ordered_json(response.body, "the error");
  const auto error = body.find("error");
  if (error == body.end() || !error->is_object()) return;
  OrderedJson flat{{"object", "error"}};
  for (const auto& [name, value] : error->items()) flat[name] = value;
  flat["code"] = response.status;
  response.body = to_text(flat);
}

HttpResponse json_response(const OrderedJson& body, int status) {
  return make_response(status, "application/json", to_text(body));
}

HttpResponse error_response(const ApiError& error) {
  HttpResponse response = json_response(error_body(error), error.status());
  response.error_code = error.code();
  response.error_message = error.what();
  if (error.retry_after) response.with("Retry-After", std::to_string(*error.retry_after));
  if (error.status() == 401) response.with("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace llava::serve
