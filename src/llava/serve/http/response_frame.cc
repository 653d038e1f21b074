// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/response_frame.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <ctime>

#include "llava/core/check.h"

namespace llava::serve {
namespace {

void append_header(std::string& out, std::string_view name, std::string_view value) {
  const auto append = [&out](std::string_view text) {
    for (const char c : text) {
      if (c != '\r' && c != '\n' && c != '\0') out += c;
    }
  };
  append(name);
  out += ": ";
  append(value);
  out += "\r\n";
}

/// Source: RFC 9110, section 5.6.7.
std::string date_now() {
  return fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(std::time(nullptr)));
}

}  // namespace

std::string frame_response(const HttpResponse& response, const ResponseFraming& framing) {
  std::string out =
      fmt::format("HTTP/1.1 {} {}\r\n", response.status, reason_phrase(response.status));
  for (const HttpHeader& header : response.headers) append_header(out, header.name, header.value);
  append_header(out, "Date", date_now());
  append_header(out, "Connection", framing.keeps_alive ? "keep-alive" : "close");
  const bool has_body = response.status != 204 && response.status != 304;
  if (framing.is_streamed) {
    if (framing.is_http_1_1) append_header(out, "Transfer-Encoding", "chunked");
  } else if (has_body) {
    append_header(out, "Content-Length", fmt::format_int(response.body.size()).str());
  }
  out += "\r\n";
  if (!framing.is_streamed && has_body && !framing.is_head) out += response.body;
  return out;
}

void append_chunk(std::string& out, std::string_view piece) {
  if (piece.empty()) return;
  std::array<char, 2 * sizeof(std::size_t)> digits;
  const auto [end, error] =
      std::to_chars(digits.data(), digits.data() + digits.size(), piece.size(), 16);
  LLAVA_CHECK(error == std::errc(), "{} bytes have no length", piece.size());
  out.append(digits.data(), end);
  out += "\r\n";
  out += piece;
  out += "\r\n";
}

}  // namespace llava::serve
