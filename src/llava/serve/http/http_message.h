// SPDX-License-Identifier: Apache-2.0
//
// What an HTTP request and its answer are to the handlers: plain values, no socket.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llava::serve {

struct HttpHeader {
  std::string name;
  std::string value;
};

/// The value of the first header of this name in any case; nothing when there is none.
std::optional<std::string_view> find_header(const std::vector<HttpHeader>& headers,
                                            std::string_view name);

/// One request. Until the body has been read (HttpHandler::admit), `body` is empty.
struct HttpRequest {
  std::string method;  ///< "GET"
  std::string target;  ///< as it was sent
  std::string path;    ///< percent signs decoded, without the query
  std::string query;   ///< behind '?', as it was sent
  std::vector<HttpHeader> headers;
  std::string body;
  std::string client_address;  ///< "192.0.2.1", without the port

  std::optional<std::string_view> header(std::string_view name) const {
    return find_header(headers, name);
  }
  /// The decoded value of a query parameter; nothing when it is not there.
  std::optional<std::string> query_value(std::string_view name) const;
};

/// One answer. Content-Length, Transfer-Encoding, Connection and Date are the server's to add.
struct HttpResponse {
  int status = 200;
  std::vector<HttpHeader> headers;
  std::string body;
  /// The code of the error that it tells of, for who counts them; not sent. Empty: none.
  std::string error_code = {};
  /// Its words, for protocols that have another form of them; not sent. Empty: none.
  std::string error_message = {};

  /// Appends a header; answers itself, for writing responses in one expression.
  HttpResponse& with(std::string name, std::string value) {
    headers.push_back({std::move(name), std::move(value)});
    return *this;
  }
};

/// An answer of this type and text.
HttpResponse make_response(int status, std::string content_type, std::string body);

/// "Not Found" for 404; "Unknown" for numbers without a name.
std::string_view reason_phrase(int status);

/// Text in which %XX has been decoded, and with `plus_is_space` '+'. Nothing for a percent sign
/// that no two hexadecimal digits follow, and for a decoded NUL.
std::optional<std::string> decode_percent(std::string_view text, bool plus_is_space);

/// Whether two header names are the same (ASCII letters in any case).
bool equals_ignoring_case(std::string_view a, std::string_view b);

}  // namespace llava::serve
