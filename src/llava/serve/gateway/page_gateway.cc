// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/page_gateway.h"

#include <utility>

#include "llava/serve/gateway/original_prompt.h"
#include "llava/serve/gateway/page_metrics.h"

namespace llava::serve {
namespace {

constexpr const char* kModeratedChatPath = "/web/chat";
constexpr int32_t kMaxImages = 1024;

GatewayOptions with_list_mode(GatewayOptions options, const WebOptions& web) {
  options.model_list =
      web.model_list_mode == "once" ? ModelListMode::kOnce : ModelListMode::kReload;
  return options;
}

}  // namespace

PageGateway::PageGateway(const GatewayOptions& gateway, const WebOptions& web)
    : is_moderated_(gateway.moderation.moderate),
      page_(web),
      gateway_(with_list_mode(gateway, web)) {}

PageHost PageGateway::host() {
  ChatLimits limits;
  // Workers know how many they take.
  limits.max_images = kMaxImages;
  PageHost host{
      .limits = limits,
      .image_limits = {},
      // Any name: which models there are, the controllers know.
      .conv_mode_of = original_template_name,
      .run_later = [this](std::shared_ptr<HttpExchange> exchange, std::function<void()> task) {
        gateway_.run_later(std::move(exchange), std::move(task));
      }};
  if (is_moderated_) host.chat_path = kModeratedChatPath;
  return host;
}

std::string PageGateway::metrics() { return gateway_.metrics() + page_metrics(gateway_.parts()); }

void PageGateway::add_routes(Router& router) {
  gateway_.add_routes(router);
  page_.add_routes(router, host());
  if (!is_moderated_) return;
  router.add("POST", kModeratedChatPath, Access::kKey,
             [this](RouteCall call) { gateway_.answer_page_chat(std::move(call)); });
}

}  // namespace llava::serve
