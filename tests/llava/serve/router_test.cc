// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/routing/router.h"

#include <gtest/gtest.h>

#include <set>

#include "fake_exchange.h"
#include "llava/core/json.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

using testing::FakeExchange;

class RouterTest : public ::testing::Test {
 protected:
  Router& router(RouterConfig config = {}, std::vector<std::string> keys = {}) {
    keys_ = std::make_unique<ApiKeys>(keys, "");
    router_ = std::make_unique<Router>(std::move(config), *keys_);
    const auto say = [](const char* text) {
      return [text](const RouteCall& call) {
        std::string body = text;
        for (const auto& [name, value] : call.parameters) body += " " + name + "=" + value;
        call.exchange->respond(make_response(200, "text/plain", body + " " + call.client));
      };
    };
    router_->add("GET", "/open", Access::kOpen, say("open"));
    router_->add("GET", "/items/{id}", Access::kKey, say("item"));
    router_->add("DELETE", "/items/{id}", Access::kKey, say("gone"));
    router_->add("GET", "/models/{name*}", Access::kKey, say("model"));
    router_->add("POST", "/fail", Access::kOpen,
                 [](const RouteCall&) { throw ApiError(400, "invalid_value", "a: wrong", "a"); });
    router_->add("POST", "/api/chat", Access::kKey,
                 [](const RouteCall&) { throw ApiError(503, "overloaded", "too much"); });
    router_->add("POST", "/broken", Access::kOpen,
                 [](const RouteCall&) { fail(ErrorCode::kInternal, "secret detail"); });
    return *router_;
  }

  HttpResponse ask(const std::string& method, const std::string& path,
                   std::vector<HttpHeader> headers = {}) {
    HttpRequest request{.method = method,
                        .target = path,
                        .path = path,
                        .query = {},
                        .headers = std::move(headers),
                        .body = {},
                        .client_address = "192.0.2.1"};
    uint64_t max_body_bytes = 1000;
    if (auto refused = router_->admit(request, max_body_bytes)) return *refused;
    const auto exchange = std::make_shared<FakeExchange>();
    router_->handle(std::move(request), exchange);
    return exchange->answer.value();
  }

  std::unique_ptr<ApiKeys> keys_;
  std::unique_ptr<Router> router_;
};

TEST_F(RouterTest, FindsRoutes) {
  router();
  EXPECT_EQ(ask("GET", "/open").body, "open 192.0.2.1");
  EXPECT_EQ(ask("HEAD", "/open").status, 200);
  EXPECT_EQ(ask("GET", "/items/a b").body, "item id=a b 192.0.2.1");
  EXPECT_EQ(ask("DELETE", "/items/7").body, "gone id=7 192.0.2.1");
  EXPECT_EQ(ask("GET", "/models/org/name").body, "model name=org/name 192.0.2.1");
}

TEST_F(RouterTest, PathsAndMethodsThatAreNotThere) {
  router();
  for (const char* path : {"/", "/opens", "/open/", "/items", "/items/a/b", "/models", "*"}) {
    const HttpResponse answer = ask("GET", path);
    EXPECT_EQ(answer.status, 404) << path;
    EXPECT_EQ(answer.body, R"({"detail":"Not Found"})");
  }
  EXPECT_EQ(parse_json(ask("GET", "/v1/nothing").body, "")["error"]["code"], "not_found");
  const HttpResponse answer = ask("POST", "/items/1");
  EXPECT_EQ(answer.status, 405);
  EXPECT_EQ(answer.body, R"({"detail":"Method Not Allowed"})");
  EXPECT_EQ(find_header(answer.headers, "allow"), "GET, DELETE");
}

TEST_F(RouterTest, KeysAreNeededButForOpenPaths) {
  router({}, {"secret"});
  EXPECT_EQ(ask("GET", "/open").status, 200);
  const HttpResponse refused = ask("GET", "/items/1");
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(find_header(refused.headers, "WWW-Authenticate"), "Bearer");
  EXPECT_EQ(ask("GET", "/items/1", {{"Authorization", "Bearer wrong"}}).status, 401);
  EXPECT_EQ(ask("GET", "/items/1", {{"Authorization", "Bearer secret"}}).body, "item id=1 key-1");
  // What is not there needs no key to be found missing.
  EXPECT_EQ(ask("GET", "/nothing").status, 404);
}

// Whoever refuses it: the key, the route, or what the route calls.
TEST_F(RouterTest, OllamasErrorsAreTextsAlone) {
  router({}, {"secret"});
  const auto error = [&](const HttpResponse& response) {
    return parse_json(response.body, "answer")["error"];
  };
  const HttpResponse refused = ask("POST", "/api/chat");
  EXPECT_EQ(refused.status, 401);
  EXPECT_TRUE(error(refused).is_string()) << refused.body;
  const HttpResponse late = ask("POST", "/api/chat", {{"Authorization", "Bearer secret"}});
  EXPECT_EQ(late.status, 503);
  EXPECT_EQ(error(late), "too much");
  EXPECT_EQ(late.error_code, "overloaded");
  EXPECT_TRUE(error(ask("POST", "/fail")).is_object());
}

TEST_F(RouterTest, ErrorsBecomeAnswers) {
  router();
  const HttpResponse wrong = ask("POST", "/fail");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(parse_json(wrong.body, ""),
            parse_json(R"({"error": {"message": "a: wrong", "type": "invalid_request_error",
                                     "param": "a", "code": "invalid_value"}})",
                       ""));
  const HttpResponse broken = ask("POST", "/broken");
  EXPECT_EQ(broken.status, 500);
  EXPECT_EQ(broken.body.find("secret"), std::string::npos);
}

TEST_F(RouterTest, FlatErrors) {
  RouterConfig config;
  config.has_flat_errors = true;
  router(config, {"secret"});
  const HttpResponse wrong = ask("POST", "/fail");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(
      parse_json(wrong.body, ""),
      parse_json(R"({"object": "error", "message": "a: wrong", "type": "invalid_request_error",
                           "param": "a", "code": 400})",
                 ""));
  EXPECT_EQ(parse_json(ask("GET", "/items/1").body, "")["code"], 401);
  EXPECT_EQ(parse_json(router_->refuse(413, "large").body, "")["code"], 413);
  // Those of other protocols are theirs.
  EXPECT_EQ(ask("GET", "/nothing").body, R"({"detail":"Not Found"})");
}

TEST_F(RouterTest, RequestIds) {
  router();
  EXPECT_EQ(
      find_header(ask("GET", "/open", {{"X-Request-Id", "my.id-1_2"}}).headers, "X-Request-Id"),
      "my.id-1_2");
  for (const char* bad : {"", "a b", "a\"", "a/b"}) {
    const HttpResponse answer = ask("GET", "/open", {{"X-Request-Id", bad}});
    EXPECT_EQ(find_header(answer.headers, "X-Request-Id")->size(), 26u) << bad;
  }
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(make_request_id());
  EXPECT_EQ(ids.size(), 1000u);
}

TEST_F(RouterTest, PagesOfOtherOrigins) {
  router({.cors_origins = {"https://good.example"}, .allowed_hosts = {}}, {"secret"});
  const HttpResponse good = ask("GET", "/open", {{"Origin", "https://good.example"}});
  EXPECT_EQ(find_header(good.headers, "Access-Control-Allow-Origin"), "https://good.example");
  const HttpResponse bad = ask("GET", "/open", {{"Origin", "https://bad.example"}});
  EXPECT_FALSE(find_header(bad.headers, "Access-Control-Allow-Origin"));
  const HttpResponse preflight =
      ask("OPTIONS", "/items/1",
          {{"Origin", "https://good.example"}, {"Access-Control-Request-Method", "GET"}});
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(find_header(preflight.headers, "Access-Control-Allow-Origin"), "https://good.example");
}

TEST_F(RouterTest, NamesThatPointHere) {
  router({.cors_origins = {}, .allowed_hosts = {"localhost", "127.0.0.1", "[::1]"}});
  for (const char* host : {"localhost", "LOCALHOST:80", "127.0.0.1:8000", "[::1]:8000", "[::1]"}) {
    EXPECT_EQ(ask("GET", "/open", {{"Host", host}}).status, 200) << host;
  }
  for (const char* host : {"evil.example", "localhost.evil.example", "127.0.0.2", ""}) {
    EXPECT_EQ(ask("GET", "/open", {{"Host", host}}).status, 403) << host;
  }
}

TEST_F(RouterTest, EveryRequestIsRecorded) {
  std::vector<RequestRecord> records;
  router({}, {"secret"}).on_record([&](const RequestRecord& record) { records.push_back(record); });
  ask("GET", "/open");
  ask("GET", "/items/1");
  ask("GET", "/nothing");
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].status, 200);
  EXPECT_EQ(records[0].route, "/open");
  EXPECT_EQ(records[1].status, 401);
  EXPECT_EQ(records[1].route, "/items/{id}");
  EXPECT_EQ(records[2].status, 404);
}

}  // namespace
}  // namespace llava::serve
