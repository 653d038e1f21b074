// SPDX-License-Identifier: Apache-2.0
//
// How a process listens, and what it lets clients do: flags that every server of the program has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llava/core/config.h"
#include "llava/serve/http/http_server.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int32_t port = 8000;
  int32_t io_threads = 2;
  std::vector<std::string> api_key;
  std::string api_key_file;
  std::vector<std::string> cors_origin;
  std::vector<std::string> allowed_host;
  std::string tls_cert;
  std::string tls_key;
  std::string tls_client_ca;
  int64_t max_body_bytes = 32 << 20;
  int64_t max_inflight_body_bytes = int64_t{512} << 20;
  int32_t max_connections = 4096;
  float drain_delay = 5;
  float drain_timeout = 120;

  template <class V>
  void describe(V& v) {
    v.field("host", host, "address to listen on; 0.0.0.0: all");
    v.field("port", port, "port to listen on; 0: any free one", in_range(0, 65535));
    v.field("io-threads", io_threads, "threads that serve connections", in_range(1, 64));
    v.field("api-key", api_key, "key that clients have to show, may be given several times");
    v.field("api-key-file", api_key_file,
            "file of keys, one a line: name:sha256, or name:sha256:priority; read again on SIGHUP");
    v.field("cors-origin", cors_origin,
            "origin of web pages that may call this server, may be given several times; *: any");
    v.field("allowed-host", allowed_host,
            "further name by which a server on a loopback address may be called");
    v.field("tls-cert", tls_cert, "certificate chain (PEM): serve https; read again on SIGHUP");
    v.field("tls-key", tls_key, "its key (PEM)");
    v.field("tls-client-ca", tls_client_ca, "clients must show a certificate signed by this one");
    v.field("max-body-bytes", max_body_bytes, "largest request body", at_least(int64_t{1}));
    v.field("max-inflight-body-bytes", max_inflight_body_bytes,
            "request bodies in memory, all together", at_least(int64_t{1}));
    v.field("max-connections", max_connections, "connections at the same time",
            in_range(1, 1 << 20));
    v.field("drain-delay", drain_delay,
            "seconds after SIGTERM in which requests are still taken, for balancers to notice",
            in_range(0.0f, 3600.0f));
    v.field("drain-timeout", drain_timeout, "seconds that running requests then have to end",
            in_range(0.0f, 86400.0f));
  }
};

HttpServerConfig http_config_of(const ServerOptions& options);
RouterConfig router_config_of(const ServerOptions& options);

}  // namespace llava::serve
