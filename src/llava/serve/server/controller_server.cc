// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/server/controller_server.h"

#include "llava/core/log.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {

ControllerServer::ControllerServer(const ServerOptions& server, const ControllerOptions& controller)
    : keys_(server.api_key, server.api_key_file),
      router_(router_config_of(server), keys_),
      controller_(std::make_unique<Controller>(controller)) {
  controller_->add_routes(router_);
  const auto answer_health = [](const RouteCall& call) {
    call.exchange->respond(json_response({{"status", "ok"}}));
  };
  for (const char* path : {"/health", "/health/live", "/health/ready"}) {
    router_.add("GET", path, Access::kOpen, answer_health);
  }
  router_.on_record([](const RequestRecord& record) {
    log_debug("request", {{"id", record.id},
                          {"client", record.client},
                          {"route", record.route},
                          {"status", record.status},
                          {"ms", record.milliseconds}});
  });
  server_ = std::make_unique<HttpServer>(http_config_of(server), router_);
}

ControllerServer::~ControllerServer() {
  server_->stop_listening();
  // Relays hold exchanges, which the server must outlive.
  controller_.reset();
  server_.reset();
}

std::string ControllerServer::address() const { return server_->address(); }

void ControllerServer::reload() {
  keys_.reload();
  server_->reload_tls();
}

}  // namespace llava::serve
