// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/server/server_options.h"

#include <algorithm>
#include <array>

namespace llava::serve {
namespace {

constexpr std::array kLoopbackNames = {"localhost", "127.0.0.1", "[::1]"};

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

}  // namespace

HttpResponse styled_error(const ServerOptions& options, const ApiError& error) {
  HttpResponse response = error_response(error);
  if (options.error_style == "flat") flatten_error(response);
  return response;
}

HttpServerConfig http_config_of(const ServerOptions& options) {
  HttpServerConfig config{.host = options.host,
                          .port = options.port,
                          .last_port = options.last_port,
                          .num_threads = options.io_threads,
                          .tls_certificate = options.tls_cert,
                          .tls_key = options.tls_key,
                          .tls_client_ca = options.tls_client_ca,
                          .limits = {}};
  config.limits.max_body_bytes = options.max_body_bytes;
  config.limits.max_inflight_body_bytes = options.max_inflight_body_bytes;
  config.limits.max_connections = options.max_connections;
  config.limits.accepts_gzip = options.accept_gzip;
  config.limits.allows_half_close = options.allow_half_close;
  return config;
}

RouterConfig router_config_of(const ServerOptions& options, RateLimits* rate_limits) {
  RouterConfig config{.cors_origins = options.cors_origin, .allowed_hosts = {}};
  config.trusts_proxy = options.trust_proxy;
  config.has_flat_errors = options.error_style == "flat";
  if (options.rate_limits.has_any()) config.rate_limits = rate_limits;
  if (!is_loopback(options.host)) return config;
  config.allowed_hosts.assign(kLoopbackNames.begin(), kLoopbackNames.end());
  config.allowed_hosts.push_back(options.host);
  for (const std::string& host : options.allowed_host) config.allowed_hosts.push_back(host);
  return config;
}

}  // namespace llava::serve
