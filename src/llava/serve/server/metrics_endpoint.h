// SPDX-License-Identifier: Apache-2.0
//
// MetricsEndpoint: where a server's /metrics is: on its own port behind its keys, behind a key for
// this alone (--metrics-key), or on a port for this alone (--metrics-port).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "llava/serve/server/server_options.h"

namespace llava::serve {

/// Threads: one thread at a time.
class MetricsEndpoint {
 public:
  /// `scrape` gives the text format 0.0.4, from any thread, between `open` and `close`.
  MetricsEndpoint(const ServerOptions& options, std::function<std::string()> scrape);
  ~MetricsEndpoint();

  /// The keys of /metrics, for RouterConfig; null: the server's own. They live as long as this.
  const ApiKeys* keys() const;
  /// Adds the route, unless it is on another port.
  void add_route(Router& router) const;
  /// Listens on the port of its own, where there is one.
  ///
  /// Throws: what HttpServer throws.
  void open();
  /// Where that is, "http://127.0.0.1:9000/metrics"; empty: on the server's own port.
  std::string address() const { return server_ ? server_->address() + "/metrics" : ""; }
  /// Ends what `open` began.
  void close();

 private:
  ServerOptions options_;
  std::function<std::string()> scrape_;
  ApiKeys keys_;
  ApiKeys no_keys_;
  std::unique_ptr<Router> router_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace llava::serve
