// SPDX-License-Identifier: Apache-2.0
//
// HttpServer: HTTP/1.1 for thousands of connections on a few threads, with bounds on everything
// that a client decides.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "llava/core/config.h"
#include "llava/serve/http/http_handler.h"

namespace llava::serve {

/// Bounds of one server (serving.md 6.12). Times are maximal.
struct HttpLimits {
  int64_t max_body_bytes = 32 << 20;
  int64_t max_inflight_body_bytes = int64_t{512} << 20;  ///< of all bodies being read or answered
  int32_t max_connections = 4096;
  std::chrono::milliseconds head_time{10'000};
  std::chrono::milliseconds idle_time{75'000};  ///< between requests of one connection
  std::chrono::milliseconds body_time{60'000};  ///< and a second more for every:
  int64_t body_bytes_per_second = 8 * 1024;
  std::chrono::milliseconds write_time{30'000};  ///< without a byte taken by the client
  int64_t max_unsent_bytes = 1 << 20;            ///< of a streamed answer
  bool accepts_gzip = false;                     ///< request bodies
  /// A client that says that it sends nothing more still wants its answer.
  bool allows_half_close = false;
};

struct HttpServerConfig {
  std::string host = "127.0.0.1";
  int32_t port = 0;       ///< 0: any free one
  int32_t last_port = 0;  ///< the first free one from `port` to this; 0: `port` only
  int32_t num_threads = 2;
  std::string tls_certificate;  ///< PEM files; both or none
  std::string tls_key;
  std::string tls_client_ca;  ///< clients must show a certificate that it signed
  HttpLimits limits;
};

/// Numbers of a server at a moment.
struct HttpServerStats {
  int64_t connections = 0;
  int64_t body_bytes = 0;
  int64_t answers = 0;  ///< under way, until the client has taken all of them
};

/// Threads: safe.
class HttpServer {
 public:
  /// Listens and answers from now on. `handler` outlives the server, and nobody holds an exchange
  /// when the server ends.
  ///
  /// Throws: Error(kInvalidArgument) for an address that cannot be; Error(kResourceExhausted) when
  /// the port is taken; Error(kNotFound) or Error(kBadFormat) naming a TLS file.
  HttpServer(const HttpServerConfig& config, HttpHandler& handler);
  /// Closes every connection.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// The port it listens on.
  int32_t port() const;
  /// "http://127.0.0.1:8000"
  std::string address() const;
  HttpServerStats stats() const;

  /// Answers from now on end their connections, and idle connections are closed; new ones are
  /// still taken, for who must be told to go elsewhere.
  void begin_drain();
  /// Takes no connection any more, and closes those that have nothing under way.
  void stop_listening();
  /// Reads the TLS files again, for new connections.
  ///
  /// Throws: as the constructor; the old ones stay in use then.
  void reload_tls();

  class State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace llava::serve
