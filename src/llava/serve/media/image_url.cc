// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/media/image_url.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "llava/core/check.h"
#include "llava/serve/http/http_message.h"
#include "llava/serve/media/global_address.h"

namespace llava::serve {
namespace {

namespace ip = boost::asio::ip;

constexpr std::size_t kMaxUrlBytes = 8 << 10;

#if LIBCURL_VERSION_NUM >= 0x075800
constexpr unsigned kHostForm = CURLU_PUNYCODE;
#else
constexpr unsigned kHostForm = 0;
#endif

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using UrlHandle = std::unique_ptr<CURLU, UrlDeleter>;

template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  fail(ErrorCode::kInvalidArgument, format, std::forward<Args>(args)...);
}

std::string part_of(const UrlHandle& url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) return {};
  const std::unique_ptr<char, decltype(&curl_free)> owned(text, curl_free);
  return text;
}

/// The host and port as they are written.
std::string_view authority_of(std::string_view url) {
  const std::size_t begin = url.find("://");
  if (begin == std::string_view::npos) refuse("it has no scheme");
  const std::string_view rest = url.substr(begin + 3);
  return rest.substr(0, rest.find_first_of("/?#"));
}

std::string_view without_port(std::string_view authority) {
  const std::size_t colon = authority.rfind(':');
  const std::size_t bracket = authority.rfind(']');
  if (colon == std::string_view::npos) return authority;
  if (bracket != std::string_view::npos && bracket > colon) return authority;
  return authority.substr(0, colon);
}

/// Whether the system's resolver would read this as a number and not as a name: "2130706433",
/// "0x7f.1". Source: the host parser of the WHATWG URL standard ("ends in a number").
bool ends_in_number(std::string_view host) {
  const std::size_t dot = host.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? host : host.substr(dot + 1);
  if (last.empty()) return false;
  if (last.starts_with("0x")) return true;
  return std::ranges::all_of(last, [](char c) { return c >= '0' && c <= '9'; });
}

bool is_plain_text(std::string_view url) {
  return std::ranges::all_of(url, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > ' ' && byte != 0x7f && c != '\\';
  });
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

int32_t read_port(const std::string& flag) {
  int32_t port = 0;
  const auto [end, error] = std::from_chars(flag.data(), flag.data() + flag.size(), port);
  if (error != std::errc{} || end != flag.data() + flag.size() || port < 1 || port > 65535) {
    refuse("--image-url-port is '{}', expected a number from 1 to 65535", flag);
  }
  return port;
}

}  // namespace

ImageUrlPolicy::ImageUrlPolicy(const ImageUrlOptions& options) : options_(options) {
  for (std::string& domain : options_.image_url_domain) {
    domain = lower_case(domain);
    if (domain.empty() || domain.find('*', 1) != std::string::npos ||
        domain.find_first_of(":/@ ") != std::string::npos ||
        (domain.front() == '*' && (domain.size() < 3 || domain.at(1) != '.'))) {
      refuse(
          "--image-url-domain is '{}', expected a host such as images.example.org or "
          "*.example.org",
          domain);
    }
  }
  if (options_.image_url_policy == "allowlist" && options_.image_url_domain.empty()) {
    refuse("--image-url-policy is allowlist, but no --image-url-domain is on the list");
  }
  for (const std::string& port : options_.image_url_port) ports_.push_back(read_port(port));
  for (const std::string& network : options_.image_url_network) {
    boost::system::error_code error_v4;
    boost::system::error_code error_v6;
    const auto v4 = ip::make_network_v4(network, error_v4);
    const auto v6 = ip::make_network_v6(network, error_v6);
    if (!error_v4) {
      networks_v4_.push_back(v4.canonical());
    } else if (!error_v6) {
      networks_v6_.push_back(v6.canonical());
    } else {
      refuse("--image-url-network is '{}', expected a network such as 10.1.0.0/16", network);
    }
  }
}

ImageUrl ImageUrlPolicy::check(std::string_view url) const {
  if (url.size() > kMaxUrlBytes)
    refuse("it has {} bytes, the most is {}", url.size(), kMaxUrlBytes);
  if (!is_plain_text(url)) refuse("it has spaces, control characters or backslashes");
  const std::string_view authority = authority_of(url);
  if (without_port(authority).empty()) refuse("it names no host");
  if (authority.find('@') != std::string_view::npos) refuse("it names a user");
  if (authority.find('%') != std::string_view::npos) refuse("its host is written in %-codes");

  const UrlHandle handle(curl_url());
  LLAVA_CHECK(handle != nullptr);
  const auto read = [&](const std::string& text) {
    const CURLUcode code = curl_url_set(handle.get(), CURLUPART_URL, text.c_str(),
                                        CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE);
    if (code != CURLUE_OK) refuse("it is no address: {}", curl_url_strerror(code));
  };
  read(std::string(url));
  // Asked for the host alone in this form, libcurl 7.88 leaks its other form.
  const std::string ascii = part_of(handle, CURLUPART_URL, kHostForm);
  if (ascii.empty()) refuse("its host has no form in ASCII");
  read(ascii);

  ImageUrl result;
  const std::string scheme = part_of(handle, CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") refuse("its scheme is not http or https");
  result.is_https = scheme == "https";
  result.host = lower_case(part_of(handle, CURLUPART_HOST));
  if (result.host.starts_with('[') && result.host.ends_with(']')) {
    result.host = result.host.substr(1, result.host.size() - 2);
  }
  if (result.host.ends_with('.')) result.host.pop_back();
  if (result.host.empty()) refuse("it names no host");
  if (std::ranges::any_of(result.host, [](char c) { return static_cast<signed char>(c) < 0; })) {
    refuse("its host is not in ASCII: write the xn-- form");
  }

  boost::system::error_code not_numeric;
  const ip::address address = ip::make_address(result.host, not_numeric);
  if (!not_numeric) result.address = address;
  // libcurl reads "0x7f.1" as 127.0.0.1; what is written must be what is meant.
  const std::string written = lower_case(without_port(authority));
  const bool is_ipv4 = result.address && result.address->is_v4();
  if (is_ipv4 ? written != result.host : ends_in_number(result.host) && !result.address) {
    refuse("its host is an address in an unusual form");
  }

  const std::string port = part_of(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  std::from_chars(port.data(), port.data() + port.size(), result.port);
  if (std::ranges::find(ports_, result.port) == ports_.end()) {
    refuse("port {} is not allowed: --image-url-port", result.port);
  }
  if (options_.image_url_policy == "allowlist" && !is_listed_host(result.host)) {
    refuse("its host is not allowed: --image-url-domain");
  }
  curl_url_set(handle.get(), CURLUPART_FRAGMENT, nullptr, 0);
  result.text = part_of(handle, CURLUPART_URL);
  return result;
}

ImageUrl ImageUrlPolicy::check_redirect(const ImageUrl& from, std::string_view to) const {
  ImageUrl next = check(to);
  if (from.is_https && !next.is_https) refuse("it leads from https to http");
  return next;
}

bool ImageUrlPolicy::allows(const ip::address& address) const {
  if (is_global_address(address)) return true;
  if (address.is_v4()) {
    return std::ranges::any_of(networks_v4_, [&](const ip::network_v4& network) {
      return ip::network_v4(address.to_v4(), 32).is_subnet_of(network) ||
             (network.prefix_length() == 32 && network.address() == address.to_v4());
    });
  }
  return std::ranges::any_of(networks_v6_, [&](const ip::network_v6& network) {
    return ip::network_v6(address.to_v6(), 128).is_subnet_of(network) ||
           (network.prefix_length() == 128 && network.address() == address.to_v6());
  });
}

bool ImageUrlPolicy::is_listed_host(std::string_view host) const {
  return std::ranges::any_of(options_.image_url_domain, [&](std::string_view domain) {
    if (!domain.starts_with('*')) return host == domain;
    return host.size() >= domain.size() && host.ends_with(domain.substr(1));
  });
}

}  // namespace llava::serve
