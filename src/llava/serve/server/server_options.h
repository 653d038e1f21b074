// SPDX-License-Identifier: Apache-2.0
//
// How a process listens, and what it lets clients do: flags that every server of the program has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "llava/core/config.h"
#include "llava/serve/http/http_server.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/routing/router.h"

namespace llava::serve {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int32_t port = 8000;
  int32_t last_port = 0;  ///< as in HttpServerConfig; no flag
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
  bool accept_gzip = false;
  bool allow_half_close = false;
  std::string error_style = "nested";
  float drain_delay = 5;
  float drain_timeout = 120;
  bool trust_proxy = false;
  std::string request_log;
  bool hash_client_address = false;
  std::string otlp_endpoint;
  std::string log_level;
  std::string log_format = "text";
  std::string log_dir;  ///< of servers without a page, whose options have one
  int32_t log_keep_days = 30;
  std::string metrics_key;
  int32_t metrics_port = -1;
  /// Flags of the servers that clients of a model talk to only.
  RateLimitOptions rate_limits;
  std::string admin_key_file;

  template <class V>
  void describe(V& v) {
    v.field("host", host, "address to listen on; 0.0.0.0: all");
    v.field("port", port, "port to listen on; 0: any free one", in_range(0, 65535));
    describe_limits(v);
  }
  /// All but where it listens.
  template <class V>
  void describe_limits(V& v) {
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
    v.field("accept-gzip", accept_gzip,
            "take request bodies that are packed with gzip: up to --max-body-bytes unpacked, and "
            "up to 100 times what was sent");
    v.field("allow-half-close", allow_half_close,
            "answer clients that close their side of the connection behind their request, instead "
            "of taking them to be gone");
    v.field("error-style", error_style,
            "body of errors: OpenAI's (nested), or SGLang's and older vLLM's (flat)",
            one_of({"nested", "flat"}));
    v.field("drain-delay", drain_delay,
            "seconds after SIGTERM in which requests are still taken, for balancers to notice",
            in_range(0.0f, 3600.0f));
    v.field("drain-timeout", drain_timeout, "seconds that running requests then have to end",
            in_range(0.0f, 86400.0f));
    v.field("trust-proxy", trust_proxy,
            "tell clients apart by the last address of X-Forwarded-For: for servers that only a "
            "proxy can reach");
    v.field("request-log", request_log,
            "file that gets a line of JSON for each request, without its content; -: standard "
            "error; opened again on SIGHUP");
    v.field("hash-client-address", hash_client_address,
            "write a hash in place of clients' addresses into it");
    v.field("log-level", log_level,
            "what is logged on standard error: debug, info, warning, error or off; default: what "
            "LLAVA_LOG says, or warning",
            one_of({"", "debug", "info", "warning", "error", "off"}));
    v.field("log-format", log_format, "lines of the log: text, or json, one object each",
            one_of({"text", "json"}));
    v.field("log-keep-days", log_keep_days,
            "days that the log's files in --log-dir are kept; 0: always", in_range(0, 36500));
    v.field("otlp-endpoint", otlp_endpoint,
            "OpenTelemetry collector that gets requests as spans, such as http://localhost:4318");
    v.field("metrics-key", metrics_key, "key that /metrics asks for, instead of those of clients");
    v.field(
        "metrics-port", metrics_port,
        "port of its own for /metrics, on the same address; 0: any free one; -1: none, it is on "
        "--port",
        in_range(-1, 65535));
  }
};

/// The flag of `ServerOptions::log_dir`.
template <class V>
void describe_log_dir(V& v, ServerOptions& options) {
  v.field("log-dir", options.log_dir,
          "folder that gets the log as well, a file a day (UTC); default: none");
}

/// The flag of `ServerOptions::admin_key_file`.
template <class V>
void describe_admin_keys(V& v, ServerOptions& options) {
  v.field("admin-key-file", options.admin_key_file,
          "file of keys for /admin, as --api-key-file; without it there is no /admin");
}

/// The error as an answer in the style of `--error-style`.
HttpResponse styled_error(const ServerOptions& options, const ApiError& error);

HttpServerConfig http_config_of(const ServerOptions& options);
/// `rate_limits`, which may be null, are the router's where the options have any.
RouterConfig router_config_of(const ServerOptions& options, RateLimits* rate_limits = nullptr);

}  // namespace llava::serve
