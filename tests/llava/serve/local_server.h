// SPDX-License-Identifier: Apache-2.0
//
// A server in the test's own process, on a free port.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "llava/serve/server/plain_server.h"
#include "support/http_client.h"

namespace llava::serve {

class LocalServer {
 public:
  explicit LocalServer(std::unique_ptr<RouteSet> routes) : server_(options(), std::move(routes)) {}
  explicit LocalServer(std::function<void(Router&)> add_routes)
      : LocalServer(std::make_unique<Routes>(std::move(add_routes))) {}

  PlainServer& server() { return server_; }
  std::string address() const { return server_.address(); }
  int port() const { return std::stoi(address().substr(address().rfind(':') + 1)); }
  testing::HttpReply post(const std::string& path, const std::string& body,
                          const std::string& headers = {}) const {
    return testing::http_post(port(), path, body, headers);
  }

 private:
  class Routes final : public RouteSet {
   public:
    explicit Routes(std::function<void(Router&)> add_routes) : add_routes_(std::move(add_routes)) {}
    void add_routes(Router& router) override { add_routes_(router); }

   private:
    std::function<void(Router&)> add_routes_;
  };

  static ServerOptions options() {
    ServerOptions options;
    options.port = 0;
    return options;
  }

  PlainServer server_;
};

}  // namespace llava::serve
