// SPDX-License-Identifier: Apache-2.0
//
// ImageUrlPolicy: which addresses of pictures this server fetches (serving.md 6.13).
#pragma once

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llava/core/config.h"

namespace llava::serve {

/// Flags of every server that fetches pictures.
struct ImageUrlOptions {
  std::string image_url_policy = "off";
  std::vector<std::string> image_url_domain;
  std::vector<std::string> image_url_port;
  std::vector<std::string> image_url_network;
  std::string image_fetch_proxy;

  template <class V>
  void describe(V& v) {
    v.field("image-url-policy", image_url_policy,
            "pictures that the server fetches for its clients: off (they send the picture itself), "
            "allowlist (from the hosts of --image-url-domain) or public (from the whole Internet)",
            one_of({"off", "allowlist", "public"}));
    v.field("image-url-domain", image_url_domain,
            "host from which pictures may be fetched, or *.host for all below it; may be given "
            "several times");
    v.field("image-url-port", image_url_port,
            "port that pictures may be fetched from beside 80 and 443, may be given several times");
    v.field("image-url-network", image_url_network,
            "network such as 10.1.0.0/16 that pictures may be fetched from although it is not "
            "public, may be given several times");
    v.field("image-fetch-proxy", image_fetch_proxy,
            "proxy that fetches pictures, http://host:port; it then decides which addresses can be "
            "reached");
  }
};

/// An address that may be fetched, as far as its text tells.
struct ImageUrl {
  std::string text;  ///< normalised
  std::string host;  ///< lower case, ASCII, without brackets
  int32_t port = 0;
  bool is_https = false;
  /// Where the host is a network address and no name.
  std::optional<boost::asio::ip::address> address;
};

/// Threads: safe.
class ImageUrlPolicy {
 public:
  /// Throws: Error(kInvalidArgument) naming the flag.
  explicit ImageUrlPolicy(const ImageUrlOptions& options);

  bool is_off() const { return options_.image_url_policy == "off"; }
  const std::string& proxy() const { return options_.image_fetch_proxy; }

  /// Throws: Error(kInvalidArgument) with the reason, for the log: to a client every refusal looks
  /// the same.
  ImageUrl check(std::string_view url) const;
  /// The address to which a redirect of `from` leads.
  ///
  /// Throws: as `check`.
  ImageUrl check_redirect(const ImageUrl& from, std::string_view to) const;

  /// Whether a host that has this address may be connected to.
  bool allows(const boost::asio::ip::address& address) const;

 private:
  bool is_listed_host(std::string_view host) const;

  ImageUrlOptions options_;
  std::vector<int32_t> ports_{80, 443};
  std::vector<boost::asio::ip::network_v4> networks_v4_;
  std::vector<boost::asio::ip::network_v6> networks_v6_;
};

}  // namespace llava::serve
