// SPDX-License-Identifier: Apache-2.0
//
// What `llava controller`, `llava api` and `llava sglang-worker` share: a server without a model,
// from the moment it listens to its last answer.
#pragma once

#include <string>

#include "llava/serve/server/plain_server.h"
#include "llava/serve/worker/worker_registration.h"
#include "server_signals.h"

namespace llava::app {

/// Prints the address and serves until a signal ends it; `what` answers, in the words for the
/// user. `registrar` may be null.
void run_plain_server(const ServerSignals& signals, serve::PlainServer& server,
                      serve::WorkerRegistrar* registrar, const serve::ServerOptions& options,
                      const std::string& what);

}  // namespace llava::app
