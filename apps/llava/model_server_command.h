// SPDX-License-Identifier: Apache-2.0
//
// What `llava serve` and `llava worker` share: a model behind a port, from the first connection to
// the last answer.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "command.h"
#include "llava/serve/server/model_server.h"
#include "rank_options.h"
#include "session.h"

namespace llava::app {

/// What is served, and how.
struct ModelServerOptions {
  serve::ServerOptions server;
  serve::ServiceOptions service;
  serve::LegacyOptions legacy;
  engine::LoadRequest load;
  RuntimeOptions runtime;
  engine::EngineOptions engine;
  RankOptions ranks;
  std::string chat_template;
  bool deterministic = false;
  /// The subcommand and its arguments, which other ranks run too.
  Arguments command;
  std::optional<serve::WebOptions> web;  ///< of the page; nothing: there is none
  std::string log_dir;                   ///< empty: no file
  std::string log_name = "serve";
  /// Called when the model answers at `address`.
  std::function<void(const std::string& address)> on_ready = [](const std::string&) {};

  template <class V>
  void describe(V& v) {
    server.describe(v);
    server.rate_limits.describe(v);
    serve::describe_admin_keys(v, server);
    legacy.describe(v);
    service.describe(v);
    v.field("chat-template", chat_template,
            "chat template (Jinja, as transformers has it) instead of the model's own: a file, or "
            "the template itself");
    load.describe(v);
    runtime.describe(v);
    engine.describe(v);
    ranks.describe(v);
    v.field("deterministic", deterministic,
            "answers that do not depend on what else is computed at the same time: the native "
            "backend's never do, another is refused");
  }
};

/// Serves until a signal ends it. With `registration` the server is made known to controllers, by
/// its own address where that names none.
int run_model_server(const ModelServerOptions& options,
                     std::optional<serve::RegistrationOptions> registration);

}  // namespace llava::app
