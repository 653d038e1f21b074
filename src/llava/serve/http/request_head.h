// SPDX-License-Identifier: Apache-2.0
//
// The head of an HTTP/1 request, from its request line to the empty line, held to stricter rules
// than the library that parses it: what two readers could understand differently is refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "llava/serve/http/http_message.h"

namespace llava::serve {

inline constexpr std::size_t kMaxHeadBytes = 32 * 1024;
inline constexpr std::size_t kMaxHeaders = 100;

/// A request whose body is still to come.
struct RequestHead {
  HttpRequest request;
  bool is_http_1_1 = true;
  bool keeps_alive = true;
  bool expects_continue = false;
  bool is_chunked = false;
  /// Absent for chunked bodies; 0 when there is none.
  std::optional<uint64_t> content_length = 0;

  bool has_body() const { return is_chunked || content_length.value_or(0) > 0; }
};

/// Why a head was refused.
struct HeadError {
  int status = 400;
  std::string message;
};

/// Length of the head that `bytes` begin with, its empty line included; nothing while that has not
/// come yet.
std::optional<std::size_t> find_end_of_head(std::string_view bytes);

/// Parses a whole head.
///
/// Refused with 400: folded lines, lines that end without a carriage return, control characters,
/// white space around a name, a Content-Length that is no number or differs from another, one
/// beside Transfer-Encoding, other transfer encodings than "chunked", none or several Host headers
/// in HTTP/1.1, targets that are no path; 414, 431, 501 and 505 for what they stand for.
/// Source: RFC 9112, sections 2.2, 3, 5, 6.   Threads: safe.
std::variant<RequestHead, HeadError> parse_request_head(std::string_view head);

}  // namespace llava::serve
