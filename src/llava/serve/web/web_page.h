// SPDX-License-Identifier: Apache-2.0
//
// WebPage: the page for people, and what it asks of the server besides the API.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "llava/core/json.h"
#include "llava/serve/media/image_input.h"
#include "llava/serve/protocol/chat_request.h"
#include "llava/serve/routing/router.h"
#include "llava/serve/web/conversation_sink.h"
#include "llava/serve/web/web_options.h"

namespace llava::serve {

/// The server behind a page.
struct PageHost {
  ChatLimits limits;
  ImageLimits image_limits;
  /// The conversation template of a model; empty: its own. Throws ApiError 404 for a model that is
  /// not here.
  std::function<std::string(const std::string& model)> conv_mode_of;
  /// Runs a task on another thread; what it throws becomes the exchange's answer.
  std::function<void(std::shared_ptr<HttpExchange>, std::function<void()>)> run_later;
  /// Where the page sends chats.
  std::string chat_path = "/v1/chat/completions";
};

/// Threads: safe.
class WebPage {
 public:
  /// Reads the texts and opens the log.
  ///
  /// Throws: Error naming a file or folder that cannot be used.
  explicit WebPage(const WebOptions& options);

  /// Adds `/`, `/assets/{name}`, `/web/config` and `/web/log`; this and what `host` calls outlive
  /// the router.
  void add_routes(Router& router, PageHost host);

 private:
  void take_record(const RouteCall& call);

  PageHost host_;
  OrderedJson config_;
  bool anonymizes_addresses_;
  std::unique_ptr<ConversationSink> log_;  ///< null: nothing is kept
};

}  // namespace llava::serve
