// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/web/web_page.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "llava/core/file.h"
#include "llava/serve/protocol/api_error.h"
#include "llava/serve/protocol/field_reader.h"
#include "llava/serve/web/conversation_log.h"
#include "llava/serve/web/conversation_record.h"
#include "llava/serve/web/web_assets.h"
#include "llava/text/utf8.h"

namespace llava::serve {
namespace {

constexpr uint64_t kMaxTextBytes = 256 << 10;
constexpr std::string_view kAssetFolder = "assets/";
constexpr const char* kContentPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

OrderedJson text_or_null(const std::string& file) {
  if (file.empty()) return nullptr;
  return text::replace_invalid_utf8(read_file(file, kMaxTextBytes));
}

HttpResponse secured(HttpResponse response) {
  response.with("Content-Security-Policy", kContentPolicy)
      .with("X-Content-Type-Options", "nosniff")
      .with("Referrer-Policy", "no-referrer");
  return response;
}

/// The names of files below assets/ change with their contents, that of the page does not.
HttpResponse asset_response(const WebAsset& asset, const HttpRequest& request) {
  const std::string tag = fmt::format("\"{}\"", asset.digest);
  const bool is_known = request.header("If-None-Match").value_or("").find(tag) != std::string::npos;
  HttpResponse response =
      is_known ? HttpResponse{.status = 304, .headers = {}, .body = {}}
               : make_response(200, std::string(asset.content_type), std::string(asset.bytes));
  response.with("ETag", tag)
      .with("Cache-Control", asset.path.starts_with(kAssetFolder)
                                 ? "public, max-age=31536000, immutable"
                                 : "no-cache");
  return secured(std::move(response));
}

void show_asset(const RouteCall& call, const std::string& path) {
  const auto assets = web_assets();
  const auto found = std::ranges::find(assets, path, &WebAsset::path);
  if (found != assets.end()) {
    call.exchange->respond(asset_response(*found, call.request));
    return;
  }
  call.exchange->respond(secured(make_response(
      404, "text/plain; charset=utf-8",
      assets.empty() ? "This llava was built without its web page: run scripts/setup, configure "
                       "with -DLLAVA_WEB=ON and build again.\n"
                     : "There is no such file.\n")));
}

/// Other sites' pages cannot send this type unless they are allowed to (CORS): nothing that they
/// make a browser send is taken.
void require_json(const HttpRequest& request) {
  const std::string_view type = request.header("Content-Type").value_or("");
  std::string_view media = type.substr(0, type.find(';'));
  while (media.ends_with(' ')) media.remove_suffix(1);
  if (equals_ignoring_case(media, "application/json")) return;
  throw ApiError(415, "unsupported_media_type",
                 fmt::format("the body's type is '{}', expected application/json", media));
}

}  // namespace

WebPage::WebPage(const WebOptions& options)
    : config_{{"embed", options.embed},
              {"model_list_mode", options.model_list_mode},
              {"terms", text_or_null(options.terms_file)},
              {"license", text_or_null(options.license_file)}},
      anonymizes_addresses_(options.anonymize_ip),
      log_(open_conversation_sink(options, std::chrono::system_clock::now())) {
  config_["max_text_length"] = options.max_text_length;
  config_["max_picture_text_length"] = options.max_picture_text_length;
  config_["keeps_log"] = log_ != nullptr;
  // Beside the model, as this page always is, the route is there.
  config_["has_attention"] = true;
}

void WebPage::add_routes(Router& router, PageHost host) {
  host_ = std::move(host);
  config_["chat_path"] = host_.chat_path;
  router.add("GET", "/", Access::kOpen,
             [](const RouteCall& call) { show_asset(call, "index.html"); });
  router.add("GET", "/assets/{name}", Access::kOpen, [](const RouteCall& call) {
    show_asset(call, std::string(kAssetFolder) + call.parameters.at("name"));
  });
  router.add("GET", "/web/config", Access::kOpen,
             [this](const RouteCall& call) { call.exchange->respond(json_response(config_)); });
  router.add("POST", "/web/log", Access::kKey, [this](RouteCall call) {
    require_json(call.request);
    const auto shared = std::make_shared<RouteCall>(std::move(call));
    host_.run_later(shared->exchange, [this, shared] { take_record(*shared); });
  });
}

void WebPage::take_record(const RouteCall& call) {
  const ConversationRecord record =
      read_conversation_record(parse_body(call.request.body), host_.limits);
  std::vector<std::string> conv_modes;
  for (const ChatRequest& conversation : record.conversations) {
    conv_modes.push_back(host_.conv_mode_of(conversation.model));
  }
  if (log_) {
    const auto now = std::chrono::system_clock::now();
    RecordOrigin origin{.time = std::chrono::duration<double>(now.time_since_epoch()).count(),
                        .address = anonymizes_addresses_
                                       ? anonymized_address(call.request.client_address)
                                       : call.request.client_address,
                        .conv_modes = std::move(conv_modes),
                        .images = {}};
    if (record.is_chat()) {
      for (const ImageSource& source : record.conversations.front().images) {
        const auto bytes = read_image_bytes(source, host_.image_limits);
        origin.images.push_back(
            log_->save_picture(decode_image(*bytes, source, host_.image_limits), now));
      }
    }
    log_->append(log_entry(record, origin), now);
  }
  call.exchange->respond({.status = 204, .headers = {}, .body = {}});
}

}  // namespace llava::serve
