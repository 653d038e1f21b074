// SPDX-License-Identifier: Apache-2.0
//
// PageGateway: the page for people in front of controllers, as the original's web server, and the
// gateway that it speaks through.
#pragma once

#include <string>

#include "llava/serve/gateway/gateway.h"
#include "llava/serve/web/web_page.h"

namespace llava::serve {

/// Everything that Gateway answers, the page, and with moderation `/web/chat`, where the page sends
/// chats then.
///
/// Threads: safe.
class PageGateway final : public RouteSet {
 public:
  /// Throws: what Gateway and WebPage throw.
  PageGateway(const GatewayOptions& gateway, const WebOptions& web);

  void add_routes(Router& router) override;
  std::string metrics() override;

 private:
  PageHost host();

  bool is_moderated_;
  WebPage page_;
  Gateway gateway_;
};

}  // namespace llava::serve
