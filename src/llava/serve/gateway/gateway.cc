// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/gateway.h"

#include <utility>

#include <boost/asio/post.hpp>

#include "llava/core/version.h"
#include "llava/serve/gateway/admitted_request.h"
#include "llava/serve/gateway/proxied_request.h"

namespace llava::serve {
namespace {

using Names = std::vector<std::string>;

constexpr const char* kProxiedPosts[] = {"/v1/embeddings", "/v1/attention", "/tokenize",
                                         "/detokenize",    "/api/show",     "/api/embed",
                                         "/api/embeddings"};
constexpr const char* kChatPath = "/v1/chat/completions";
/// Paths that have an answer written.
constexpr const char* kGeneratingPosts[] = {kChatPath, "/v1/completions", "/generate", "/api/chat",
                                            "/api/generate"};

/// Files and batches are in the memory of the worker that got them. A gateway would have to know
/// which one that is, and keep it over restarts and for the gateways beside it.
constexpr const char* kPathsOfOneWorker[] = {"/v1/files", "/v1/files/{rest*}", "/v1/batches",
                                             "/v1/batches/{rest*}"};

void refuse_files(const RouteCall& call) {
  call.exchange->respond(error_response(
      ApiError(501, "not_implemented",
               "files and batches are kept by one worker, and this is a gateway in front of "
               "several: send pictures within the request (a data: address), and the lines of a "
               "batch as requests, or ask a worker at its own address")));
}

OrderedJson openai_models(const Names& names) {
  OrderedJson models = OrderedJson::array();
  for (const std::string& name : names) models.push_back(named_model_json(name));
  return {{"object", "list"}, {"data", std::move(models)}};
}

OrderedJson ollama_models(const Names& names) {
  OrderedJson models = OrderedJson::array();
  for (const std::string& name : names) {
    models.push_back({{"name", name},
                      {"model", name},
                      {"modified_at", "1970-01-01T00:00:00Z"},
                      {"size", 0},
                      {"digest", ""},
                      {"details", {{"format", "llava"}, {"family", "llava"}}}});
  }
  return {{"models", std::move(models)}};
}

}  // namespace

void Gateway::add_routes(Router& router) {
  const auto add_proxy = [&](const char* method, const char* path) {
    router.add(method, path, Access::kKey, [this](RouteCall call) {
      const auto id = call.parameters.find("id");
      std::string model =
          id != call.parameters.end() ? id->second : call.request.query_value("model").value_or("");
      std::make_shared<ProxiedRequest>(parts_, std::move(call), std::move(model))->start();
    });
  };
  for (const char* path : kProxiedPosts) add_proxy("POST", path);
  const auto add_generating = [&](const char* method, const char* path) {
    router.add(method, path, Access::kKey, [this](RouteCall call) {
      std::make_shared<AdmittedRequest>(parts_, std::move(call),
                                        parts_.options.moderation.moderate_api)
          ->start();
    });
  };
  for (const char* path : kGeneratingPosts) add_generating("POST", path);
  add_generating("PUT", "/generate");
  add_proxy("GET", "/get_model_info");
  add_proxy("GET", "/get_server_info");
  add_proxy("GET", "/v1/models/{id*}");
  for (const char* path : kPathsOfOneWorker) {
    for (const char* method : {"GET", "POST", "DELETE"}) {
      router.add(method, path, Access::kKey, refuse_files);
    }
  }
  const auto add_list = [&](const char* path, MakeList make) {
    router.add("GET", path, Access::kKey,
               [this, make](const RouteCall& call) { answer_with_models(call, make); });
  };
  add_list("/v1/models", openai_models);
  add_list("/api/tags", ollama_models);
  add_list("/api/ps", ollama_models);
  router.add("GET", "/api/version", Access::kKey, [](const RouteCall& call) {
    call.exchange->respond(json_response({{"version", kVersion}}));
  });
}

void Gateway::answer_page_chat(RouteCall call) {
  // The worker, and the log, know it by the API's name.
  call.request.path = kChatPath;
  call.request.target = kChatPath;
  const ModerationOptions& moderation = parts_.options.moderation;
  std::make_shared<AdmittedRequest>(parts_, std::move(call),
                                    moderation.moderate || moderation.moderate_api)
      ->start();
}

void Gateway::run_later(std::shared_ptr<HttpExchange> exchange, std::function<void()> task) {
  boost::asio::post(parts_.pool, [exchange = std::move(exchange), task = std::move(task)] {
    try {
      task();
    } catch (...) {
      answer_exception(*exchange);
    }
  });
}

void Gateway::answer_with_models(const RouteCall& call, MakeList make) {
  parts_.names.list([exchange = call.exchange, make](const auto& names) {
    if (names) return exchange->respond(json_response(make(*names)));
    ApiError error(503, "controller_unavailable", "no controller answers");
    error.retry_after = 1;
    exchange->respond(error_response(error));
  });
}

std::string Gateway::metrics() {
  const auto now = std::chrono::steady_clock::now();
  return parts_.metrics.scrape(parts_.breakers.open_ones(now).size());
}

}  // namespace llava::serve
