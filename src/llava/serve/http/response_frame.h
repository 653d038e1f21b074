// SPDX-License-Identifier: Apache-2.0
//
// The bytes of an answer.
#pragma once

#include <string>
#include <string_view>

#include "llava/serve/http/http_message.h"

namespace llava::serve {

/// How an answer is framed.
struct ResponseFraming {
  bool is_http_1_1 = true;
  bool keeps_alive = true;
  bool is_head = false;      ///< the request's method: no body
  bool is_streamed = false;  ///< in chunks, or to the end of the connection in HTTP/1.0
};

/// Status line and headers, and the body of an answer that is not streamed. Characters that would
/// end a header are left out.
std::string frame_response(const HttpResponse& response, const ResponseFraming& framing);

/// Appends one chunk of a streamed body; nothing for an empty piece, which would end it.
void append_chunk(std::string& out, std::string_view piece);

inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace llava::serve
