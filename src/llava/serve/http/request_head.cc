// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/request_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <charconv>

namespace llava::serve {
namespace {

namespace http = boost::beast::http;

constexpr std::string_view kEndOfHead = "\r\n\r\n";
constexpr std::size_t kMaxTargetBytes = 8 * 1024;

std::optional<HeadError> check_lines(std::string_view head) {
  std::size_t num_lines = 0;
  for (std::string_view rest = head; !rest.empty(); ++num_lines) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos || end == 0 || rest[end - 1] != '\r') {
      return HeadError{400, "a line of the request's head does not end in CR LF"};
    }
    const std::string_view line = rest.substr(0, end - 1);
    rest.remove_prefix(end + 1);
    if (num_lines > 0 && !line.empty() && (line.front() == ' ' || line.front() == '\t')) {
      return HeadError{400, "a header is folded over several lines"};
    }
    const bool has_control = std::ranges::any_of(line, [](char c) {
      const auto byte = static_cast<unsigned char>(c);
      return (byte < 0x20 && c != '\t') || byte == 0x7F;
    });
    if (has_control) return HeadError{400, "a control character in the request's head"};
  }
  // The request line and the empty one are none.
  if (num_lines > kMaxHeaders + 2) {
    return HeadError{431, fmt::format("more than {} headers", kMaxHeaders)};
  }
  return std::nullopt;
}

std::optional<uint64_t> parse_length(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::string_view item = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), item.size() + 1));
    if (equals_ignoring_case(trimmed(item), word)) return true;
  }
  return false;
}

/// Content-Length, Transfer-Encoding, Host, Connection and Expect.
std::optional<HeadError> read_framing(RequestHead& head) {
  int num_hosts = 0;
  bool has_length = false;
  for (const auto& [name, value] : head.request.headers) {
    if (equals_ignoring_case(name, "content-length")) {
      const auto length = parse_length(value);
      if (!length || (has_length && length != head.content_length)) {
        return HeadError{400, "the Content-Length is no number, or there are two"};
      }
      has_length = true;
      head.content_length = length;
    } else if (equals_ignoring_case(name, "transfer-encoding")) {
      if (head.is_chunked) return HeadError{400, "Transfer-Encoding is given twice"};
      if (!equals_ignoring_case(value, "chunked")) {
        return HeadError{501, "the only Transfer-Encoding that is understood is 'chunked'"};
      }
      head.is_chunked = true;
    } else if (equals_ignoring_case(name, "host")) {
      ++num_hosts;
    } else if (equals_ignoring_case(name, "connection")) {
      if (has_word(value, "close")) head.keeps_alive = false;
      if (!head.is_http_1_1 && has_word(value, "keep-alive")) head.keeps_alive = true;
    } else if (equals_ignoring_case(name, "expect")) {
      if (!equals_ignoring_case(value, "100-continue")) {
        return HeadError{417, "the only Expect that is understood is '100-continue'"};
      }
      head.expects_continue = head.is_http_1_1;
    }
  }
  if (head.is_chunked && has_length) {
    return HeadError{400, "Content-Length and Transfer-Encoding exclude each other"};
  }
  if (head.is_chunked && !head.is_http_1_1) {
    return HeadError{400, "HTTP/1.0 has no Transfer-Encoding"};
  }
  if (num_hosts > 1 || (num_hosts == 0 && head.is_http_1_1)) {
    return HeadError{400, fmt::format("{} Host headers, expected one", num_hosts)};
  }
  if (head.is_chunked) head.content_length.reset();
  return std::nullopt;
}

/// The path and query of a target in origin or absolute form.
std::optional<HeadError> read_target(HttpRequest& request) {
  std::string_view target = request.target;
  if (target.size() > kMaxTargetBytes) return HeadError{414, "the request's target is too long"};
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    target.remove_prefix(std::min(target.size(), target.find('/')));
    if (target.empty()) target = "/";
  }
  if (target == "*" && request.method == "OPTIONS") {
    request.path = request.target;
    return std::nullopt;
  }
  target = target.substr(0, target.find('#'));
  const std::size_t question = target.find('?');
  const auto path = decode_percent(target.substr(0, question), false);
  if (!target.starts_with('/') || !path) {
    return HeadError{400, "the request's target is no path"};
  }
  request.path = *path;
  if (question != std::string_view::npos) request.query = std::string(target.substr(question + 1));
  return std::nullopt;
}

}  // namespace

std::optional<std::size_t> find_end_of_head(std::string_view bytes) {
  const std::size_t end = bytes.find(kEndOfHead);
  if (end == std::string_view::npos) return std::nullopt;
  return end + kEndOfHead.size();
}

std::variant<RequestHead, HeadError> parse_request_head(std::string_view head) {
  if (head.size() > kMaxHeadBytes) return HeadError{431, "the request's head is too large"};
  if (const auto error = check_lines(head)) return *error;
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kMaxHeadBytes);
  parser.skip(true);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(head.data(), head.size()), error);
  if (error == http::error::bad_version) {
    return HeadError{505, "the HTTP version is neither 1.0 nor 1.1"};
  }
  if (error || !parser.is_header_done()) {
    return HeadError{400, fmt::format("the request's head is malformed: {}", error.message())};
  }
  const auto& message = parser.get();
  RequestHead parsed;
  parsed.is_http_1_1 = message.version() == 11;
  if (message.version() != 10 && message.version() != 11) {
    return HeadError{505, "the HTTP version is neither 1.0 nor 1.1"};
  }
  parsed.keeps_alive = parsed.is_http_1_1;
  const auto method = message.method_string();
  const auto target = message.target();
  parsed.request.method = std::string(method.data(), method.size());
  parsed.request.target = std::string(target.data(), target.size());
  for (const auto& field : message) {
    const auto name = field.name_string();
    const auto value = field.value();
    parsed.request.headers.push_back(
        {std::string(name.data(), name.size()), std::string(value.data(), value.size())});
  }
  if (const auto wrong = read_framing(parsed)) return *wrong;
  if (const auto wrong = read_target(parsed.request)) return *wrong;
  return parsed;
}

}  // namespace llava::serve
