// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/client/outgoing_http.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <mutex>
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
    exchange->respond(make_response(200, "text/plain", fmt::format("{} {}", request.body, header)));
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
