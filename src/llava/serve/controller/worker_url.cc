// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/controller/worker_url.h"

#include <algorithm>
#include <charconv>

#include "llava/core/error.h"

namespace llava::serve {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_host_char(char c) {
  return is_digit(c) || is_letter(c) || c == '-' || c == '.' || c == '_';
}
bool is_ipv6_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
}

std::string to_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

// "https" of "https://host"; the rest stays in `rest`.
std::string take_scheme(std::string_view name, std::string_view& rest) {
  const std::size_t end = name.find("://");
  const std::string scheme =
      end == std::string_view::npos ? std::string() : to_lower(name.substr(0, end));
  if (scheme != "http" && scheme != "https") {
    fail(ErrorCode::kInvalidArgument,
         "worker name '{}' is no URL of http or https: register the address that clients reach the "
         "worker under, such as http://host:21002",
         name);
  }
  rest = name.substr(end + 3);
  return scheme;
}

uint16_t parse_port(std::string_view name, std::string_view digits) {
  uint16_t port = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, port);
  if (error != std::errc() || stop != end || port == 0) {
    fail(ErrorCode::kInvalidArgument,
         "worker name '{}' has the port '{}', expected a number from 1 to 65535", name, digits);
  }
  return port;
}

}  // namespace

WorkerUrl parse_worker_url(std::string_view name) {
  if (name.size() > kMaxWorkerNameBytes) {
    fail(ErrorCode::kInvalidArgument, "a worker name has {} bytes, expected at most {}",
         name.size(), kMaxWorkerNameBytes);
  }
  const auto is_plain = [](char c) { return c > ' ' && c <= '~' && c != '\\'; };
  if (!std::all_of(name.begin(), name.end(), is_plain)) {
    fail(ErrorCode::kInvalidArgument,
         "a worker name has a space, a backslash, a control character or one that is not ASCII; "
         "such characters are written as %XX, host names in their ASCII form");
  }
  std::string_view rest;
  WorkerUrl url;
  url.is_tls = take_scheme(name, rest) == "https";
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
  if (authority.find('@') != std::string_view::npos) {
    // The name is not shown: it holds a password.
    fail(ErrorCode::kInvalidArgument,
         "a worker name has credentials, which are not supported: leave out what is before '@'");
  }
  if (rest.find_first_of("?#") != std::string_view::npos) {
    fail(ErrorCode::kInvalidArgument,
         "worker name '{}' has a query or a fragment, expected scheme, host, port and path", name);
  }
  url.path = rest.substr(authority.size());

  std::string_view after_host;
  bool is_host_valid = false;
  if (authority.starts_with('[')) {
    const std::string_view address = authority.substr(1, authority.find(']') - 1);
    url.host = to_lower(address);
    after_host = authority.substr(std::min(authority.size(), address.size() + 2));
    is_host_valid = authority.size() >= address.size() + 2 &&
                    std::count(address.begin(), address.end(), ':') >= 2 &&
                    std::all_of(address.begin(), address.end(), is_ipv6_char);
  } else {
    const std::string_view host = authority.substr(0, authority.find(':'));
    url.host = to_lower(host);
    after_host = authority.substr(host.size());
    is_host_valid = !host.empty() && std::all_of(host.begin(), host.end(), is_host_char);
  }
  if (!is_host_valid || (!after_host.empty() && after_host.front() != ':')) {
    fail(ErrorCode::kInvalidArgument,
         "worker name '{}' has the host '{}', expected a name, an IPv4 address or an IPv6 address "
         "in brackets",
         name, authority);
  }
  const uint16_t default_port = url.is_tls ? 443 : 80;
  url.port = after_host.empty() ? default_port : parse_port(name, after_host.substr(1));
  return url;
}

}  // namespace llava::serve
