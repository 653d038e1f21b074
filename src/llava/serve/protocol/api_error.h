// SPDX-License-Identifier: Apache-2.0
//
// ApiError: an error as API clients see it, and the bodies that the front ends write it in.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/serve/http/http_message.h"

namespace llava::serve {

/// One row of the table of errors in docs/http_api.md: HTTP status, `type` and `code`.
///
/// Threads: a value.
class ApiError : public std::runtime_error {
 public:
  ApiError(int status, std::string code, const std::string& message, std::string param = {});

  int status() const { return status_; }
  const std::string& code() const { return code_; }
  /// The request's field that is wrong, such as "messages[2].content"; empty: none.
  const std::string& param() const { return param_; }
  /// "invalid_request_error" and so on; the status decides.
  std::string_view type() const;

  /// Seconds after which to try again.
  std::optional<int32_t> retry_after;
  /// Further members of the error object.
  OrderedJson details;

 private:
  int status_;
  std::string code_;
  std::string param_;
};

/// An error of the fields of a request: status 400, code `invalid_value`.
template <class... Args>
[[noreturn]] void fail_field(const std::string& param, fmt::format_string<Args...> format,
                             Args&&... args) {
  throw ApiError(400, "invalid_value",
                 param + ": " + fmt::format(format, std::forward<Args>(args)...), param);
}

/// What an Error of the libraries means to a client.
ApiError to_api_error(const Error& error);

/// The error object that OpenAI clients read: {"error": {"message", "type", "param", "code"}}.
OrderedJson error_body(const ApiError& error);

/// An answer with that body.
HttpResponse error_response(const ApiError& error);

/// Writes an error's body as SGLang and older versions of vLLM do, {"object": "error", "message",
/// "type", "param", "code"}, where the code is the status. Answers of another form are left as they
/// are.
void flatten_error(HttpResponse& response);

/// A JSON answer in compact form.
HttpResponse json_response(const OrderedJson& body, int status = 200);

}  // namespace llava::serve
