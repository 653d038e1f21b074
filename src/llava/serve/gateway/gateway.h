// SPDX-License-Identifier: Apache-2.0
//
// Gateway: the API of all models behind the controllers, on one port. It keeps no state that a
// restart, or another gateway beside it, would miss.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "llava/core/json.h"
#include "llava/serve/gateway/gateway_parts.h"
#include "llava/serve/routing/route_set.h"

namespace llava::serve {

/// Each request goes to a worker that a controller names, as it is, and the worker's answer comes
/// back as it is; for workers of the original, chats and completions are translated.
///
/// Threads: safe.
class Gateway final : public RouteSet {
 public:
  /// Throws: what GatewayParts throws.
  explicit Gateway(const GatewayOptions& options) : parts_(options) {}

  void add_routes(Router& router) override;
  std::string metrics() override;

  /// Answers a chat as /v1/chat/completions does, but shows it to the moderation service as a
  /// text of the page.
  void answer_page_chat(RouteCall call);
  const GatewayParts& parts() const { return parts_; }
  /// Runs `task` on one of the gateway's threads; what it throws is the answer.
  void run_later(std::shared_ptr<HttpExchange> exchange, std::function<void()> task);

 private:
  /// What lists models, in the form of one of the APIs.
  using MakeList = OrderedJson (*)(const std::vector<std::string>& names);

  void answer_with_models(const RouteCall& call, MakeList make);

  GatewayParts parts_;
};

}  // namespace llava::serve
