// SPDX-License-Identifier: Apache-2.0
//
// ControllerServer: a controller behind a port.
#pragma once

#include <memory>
#include <string>

#include "llava/serve/controller/controller_api.h"
#include "llava/serve/server/server_options.h"

namespace llava::serve {

/// Threads: one thread at a time.
class ControllerServer {
 public:
  /// Listens and answers from now on.
  ///
  /// Throws: what HttpServer and ApiKeys throw.
  ControllerServer(const ServerOptions& server, const ControllerOptions& controller);
  ~ControllerServer();

  std::string address() const;
  /// Reads keys and certificates again.   Throws: naming the file; what was in use stays so.
  void reload();

 private:
  ApiKeys keys_;
  Router router_;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<HttpServer> server_;
};

}  // namespace llava::serve
