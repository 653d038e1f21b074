// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/client/outgoing_http.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "llava/serve/http/http_server.h"

namespace llava::serve {
namespace {

/// Echoes; keeps the exchanges of /keep until the test is over.
class EchoHandler final : public HttpHandler {
 public:
  std::optional<HttpResponse> admit(const HttpRequest&, uint64_t&) override { return std::nullopt; }
  void handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) override {
    if (request.path == "/missing") return exchange->respond(make_response(404, "text/plain", "x"));
    if (request.path == "/keep") {
      exchange->start(make_response(200, "text/plain", "first"));
      const std::lock_guard lock(mutex_);
      kept_.push_back(std::move(exchange));
      return;
    }
    const auto header = request.header("X-Test").value_or("");
    exchange->respond(make_response(200, "text/plain", fmt::format("{} {}", request.body, header))
                          .with("X-Method", request.method));
  }
  HttpResponse refuse(int status, const std::string& message) override {
    return make_response(status, "text/plain", message);
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    kept_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<HttpExchange>> kept_;
};

class OutgoingHttpTest : public ::testing::Test {
 protected:
  ~OutgoingHttpTest() override { handler_.let_go(); }

  OutgoingRequest to(const std::string& path, std::string body = {}) const {
    return {.url = server_.address() + path, .body = std::move(body)};
  }

  EchoHandler handler_;
  HttpServer server_{HttpServerConfig{}, handler_};
};

TEST_F(OutgoingHttpTest, PostsAndGetsTheAnswer) {
  OutgoingHttp http;
  OutgoingRequest request = to("/echo", "hello");
  request.headers.push_back({"X-Test", "there"});
  const OutgoingReply reply = http.fetch(request);
  EXPECT_TRUE(reply.end.is_ok()) << reply.end.error;
  EXPECT_EQ(reply.body, "hello there");
}

TEST_F(OutgoingHttpTest, TheHeadComesBeforeTheBody) {
  OutgoingHttp http;
  for (const auto method : {OutgoingRequest::Method::kGet, OutgoingRequest::Method::kPost}) {
    OutgoingRequest request = to("/echo");
    request.method = method;
    std::string seen;
    std::promise<void> ended;
    http.start(request, {.on_bytes = [&](std::string_view) { seen += " body"; },
                         .on_end = [&](const OutgoingEnd&) { ended.set_value(); },
                         .on_head =
                             [&](int status, const std::vector<HttpHeader>& headers) {
                               seen += fmt::format("{} {}", status,
                                                   find_header(headers, "x-method").value_or(""));
                             }});
    ended.get_future().wait();
    EXPECT_EQ(seen, method == OutgoingRequest::Method::kGet ? "200 GET body" : "200 POST body");
  }
}

TEST_F(OutgoingHttpTest, WhatACallbackThrowsEndsIt) {
  OutgoingHttp http;
  for (const bool is_in_head : {false, true}) {
    std::promise<OutgoingEnd> ended;
    const auto fail_if = [](bool is_wanted) {
      if (is_wanted) throw std::runtime_error("not what was expected");
    };
    http.start(to("/echo", "x"),
               {.on_bytes = [&](std::string_view) { fail_if(!is_in_head); },
                .on_end = [&](const OutgoingEnd& end) { ended.set_value(end); },
                .on_head = [&](int, const std::vector<HttpHeader>&) { fail_if(is_in_head); }});
    EXPECT_EQ(ended.get_future().get().error, "not what was expected");
  }
}

TEST_F(OutgoingHttpTest, OtherStatusesAreNoErrorOfTheConnection) {
  OutgoingHttp http;
  const OutgoingReply reply = http.fetch(to("/missing"));
  EXPECT_EQ(reply.end.status, 404);
  EXPECT_EQ(reply.end.error, "");
  EXPECT_FALSE(reply.end.is_ok());
}

TEST_F(OutgoingHttpTest, NobodyThereAndNoAddress) {
  OutgoingHttp http;
  for (const char* url : {"http://127.0.0.1:1/", "not an address", "http://"}) {
    const OutgoingReply reply = http.fetch({.url = url, .body = {}});
    EXPECT_TRUE(reply.end.could_not_connect) << url;
    EXPECT_NE(reply.end.error, "");
  }
  // Nothing but HTTP.
  EXPECT_NE(http.fetch({.url = "file:///etc/passwd", .body = {}}).end.error, "");
}

TEST_F(OutgoingHttpTest, CancellingEndsIt) {
  OutgoingHttp http;
  std::promise<void> begun;
  std::promise<OutgoingEnd> ended;
  const auto call =
      http.start(to("/keep"), {.on_bytes = [&](std::string_view) { begun.set_value(); },
                               .on_end = [&](const OutgoingEnd& end) { ended.set_value(end); }});
  begun.get_future().wait();
  call->cancel();
  EXPECT_NE(ended.get_future().get().error, "");
}

TEST_F(OutgoingHttpTest, SilenceEndsIt) {
  OutgoingHttp http;
  OutgoingRequest request = to("/keep");
  request.silence_time = std::chrono::seconds(1);
  const OutgoingReply reply = http.fetch(request);
  EXPECT_NE(reply.end.error, "");
  EXPECT_TRUE(reply.end.has_timed_out);
  EXPECT_FALSE(reply.end.could_not_connect);
  EXPECT_EQ(reply.body, "first");
}

TEST_F(OutgoingHttpTest, TheEndOfTheClientEndsWhatIsUnderWay) {
  std::promise<OutgoingEnd> ended;
  {
    OutgoingHttp http;
    std::promise<void> begun;
    http.start(to("/keep"), {.on_bytes = [&](std::string_view) { begun.set_value(); },
                             .on_end = [&](const OutgoingEnd& end) { ended.set_value(end); }});
    begun.get_future().wait();
  }
  EXPECT_NE(ended.get_future().get().error, "");
}

TEST_F(OutgoingHttpTest, ManyAtTheSameTime) {
  OutgoingHttp http;
  std::vector<std::promise<std::string>> bodies(50);
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    http.fetch(to("/echo", std::to_string(i)),
               [&bodies, i](const OutgoingReply& reply) { bodies[i].set_value(reply.body); });
  }
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    EXPECT_EQ(bodies[i].get_future().get(), fmt::format("{} ", i));
  }
}

}  // namespace
}  // namespace llava::serve
