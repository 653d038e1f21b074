// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/http_server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "llava/core/error.h"
#include "support/http_client.h"

namespace llava::serve {
namespace {

using testing::http_get;
using testing::http_post;
using testing::HttpClient;
using testing::HttpReply;

/// Echoes; paths say what else to do. Keeps exchanges that are to be answered by the test.
class TestHandler final : public HttpHandler {
 public:
  std::optional<HttpResponse> admit(const HttpRequest& head, uint64_t& max_body_bytes) override {
    if (head.path == "/small") max_body_bytes = 10;
    if (head.path == "/refused") return make_response(401, "text/plain", "no");
    return std::nullopt;
  }

  void handle(HttpRequest request, std::shared_ptr<HttpExchange> exchange) override {
    if (request.path == "/throw") fail(ErrorCode::kInternal, "thrown");
    if (request.path == "/forget") return;
    if (request.path == "/keep") {
      exchange->on_close([this](CloseReason reason) {
        const std::lock_guard lock(mutex_);
        reasons_.push_back(reason);
        changed_.notify_all();
      });
      const std::lock_guard lock(mutex_);
      kept_.push_back(std::move(exchange));
      changed_.notify_all();
      return;
    }
    exchange->respond(
        make_response(200, "text/plain", request.method + " " + request.path + " " + request.body));
  }

  HttpResponse refuse(int status, const std::string& message) override {
    return make_response(status, "text/plain", message);
  }

  std::shared_ptr<HttpExchange> wait_for_kept() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !kept_.empty(); });
    auto exchange = kept_.back();
    kept_.pop_back();
    return exchange;
  }
  CloseReason wait_for_close() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !reasons_.empty(); });
    const CloseReason reason = reasons_.back();
    reasons_.pop_back();
    return reason;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<HttpExchange>> kept_;
  std::vector<CloseReason> reasons_;
};

class HttpServerTest : public ::testing::Test {
 protected:
  void start(const HttpLimits& limits = {}) {
    server_ = std::make_unique<HttpServer>(HttpServerConfig{.num_threads = 2, .limits = limits},
                                           handler_);
  }
  int port() const { return server_->port(); }

  TestHandler handler_;
  std::unique_ptr<HttpServer> server_;
};

std::string get(const std::string& path, const std::string& headers = {}) {
  return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n";
}

TEST_F(HttpServerTest, AnswersOnOneConnection) {
  start();
  HttpClient client(port());
  for (int i = 0; i < 3; ++i) {
    client.send(testing::post_bytes("/a", fmt::format("body {}", i)));
    const HttpReply reply = client.read_reply().value();
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, fmt::format("POST /a body {}", i));
    EXPECT_EQ(reply.headers.at("connection"), "keep-alive");
    EXPECT_FALSE(reply.headers.at("date").empty());
  }
}

TEST_F(HttpServerTest, PipelinedRequestsAreAnsweredInOrder) {
  start();
  HttpClient client(port());
  std::string all;
  for (int i = 0; i < 50; ++i) all += testing::post_bytes(fmt::format("/{}", i), "x");
  client.send(all);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(client.read_reply().value().body, fmt::format("POST /{} x", i));
  }
}

TEST_F(HttpServerTest, BytesOneByOne) {
  start();
  HttpClient client(port());
  for (const char c : testing::post_bytes("/slow", "hello")) client.send({&c, 1});
  EXPECT_EQ(client.read_reply().value().body, "POST /slow hello");
}

TEST_F(HttpServerTest, ChunkedBodyAndContinue) {
  start();
  HttpClient client(port());
  client.send(
      "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_reply().value().status, 100);
  client.send("3\r\nabc\r\n0\r\n\r\n" + get("/next"));
  EXPECT_EQ(client.read_reply().value().body, "POST /c abc");
  EXPECT_EQ(client.read_reply().value().body, "GET /next ");
}

TEST_F(HttpServerTest, RefusesBeforeTheBody) {
  start();
  HttpClient client(port());
  client.send(
      "POST /refused HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_reply().value().status, 401);
  EXPECT_TRUE(client.is_closed_by_server());
  EXPECT_EQ(http_post(port(), "/small", std::string(11, 'x')).status, 413);
  EXPECT_EQ(http_post(port(), "/small", std::string(10, 'x')).status, 200);
  EXPECT_EQ(http_get(port(), "/refused").status, 401);
}

TEST_F(HttpServerTest, ABodyThatIsTooLargeIsAnsweredWhileItIsSent) {
  start({.max_body_bytes = 1000});
  HttpClient client(port());
  client.send(testing::post_bytes("/a", std::string(2 << 20, 'x')));
  EXPECT_EQ(client.read_reply().value().status, 413);
}

TEST_F(HttpServerTest, AllBodiesTogetherAreBounded) {
  start({.max_inflight_body_bytes = 1000});
  HttpClient first(port());
  first.send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\nx");
  // The promise counts, not what has arrived.
  while (server_->stats().body_bytes < 900) std::this_thread::yield();
  EXPECT_EQ(http_post(port(), "/a", std::string(200, 'x')).status, 503);
  first.send(std::string(899, 'x'));
  EXPECT_EQ(first.read_reply().value().status, 200);
  // The answer is there a moment before the promise is let go of.
  while (server_->stats().body_bytes > 0) std::this_thread::yield();
  EXPECT_EQ(http_post(port(), "/a", std::string(200, 'x')).status, 200);
  while (server_->stats().body_bytes > 0) std::this_thread::yield();
}

TEST_F(HttpServerTest, MalformedRequestsEndTheConnection) {
  start();
  for (const char* bytes : {"nonsense\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
                            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
                            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}) {
    HttpClient client(port());
    client.send(bytes + get("/smuggled"));
    EXPECT_EQ(client.read_reply().value().status, 400);
    EXPECT_TRUE(client.is_closed_by_server());
  }
  HttpClient large(port());
  large.send("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(40'000, 'a'));
  EXPECT_EQ(large.read_reply().value().status, 431);
}

TEST_F(HttpServerTest, SlowClientsAreTimedOut) {
  start({.head_time = std::chrono::milliseconds(50),
         .idle_time = std::chrono::milliseconds(50),
         .body_time = std::chrono::milliseconds(50)});
  HttpClient head(port());
  head.send("GET / HTTP/1.1\r\n");
  EXPECT_EQ(head.read_reply().value().status, 408);
  HttpClient body(port());
  body.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nx");
  EXPECT_EQ(body.read_reply().value().status, 408);
  HttpClient idle(port());
  idle.send(get("/"));
  EXPECT_EQ(idle.read_reply().value().status, 200);
  EXPECT_TRUE(idle.is_closed_by_server());
  HttpClient silent(port());
  EXPECT_TRUE(silent.is_closed_by_server());
}

TEST_F(HttpServerTest, StreamsInPieces) {
  start();
  HttpClient client(port());
  client.send(get("/keep"));
  const auto exchange = handler_.wait_for_kept();
  exchange->start(make_response(200, "text/event-stream", "one\n"));
  EXPECT_NE(client.read_until("one\n").find("Transfer-Encoding: chunked"), std::string::npos);
  exchange->write("two\n");
  client.read_until("two\n");
  exchange->finish();
  client.read_until("0\r\n\r\n");
  client.send(get("/after"));
  EXPECT_EQ(client.read_reply().value().body, "GET /after ");
}

TEST_F(HttpServerTest, OldClientsGetAStreamToTheEndOfTheConnection) {
  start();
  HttpClient client(port());
  client.send("GET /keep HTTP/1.0\r\n\r\n");
  const auto exchange = handler_.wait_for_kept();
  exchange->start(make_response(200, "text/plain", "one "));
  exchange->write("two");
  exchange->finish();
  EXPECT_EQ(client.read_reply().value().body, "one two");
  EXPECT_TRUE(client.is_closed_by_server());
}

TEST_F(HttpServerTest, HeadHasNoBody) {
  start();
  HttpClient client(port());
  client.send("HEAD /x HTTP/1.1\r\nHost: h\r\n\r\n" + get("/y"));
  EXPECT_EQ(client.read_reply(/*has_body=*/false).value().headers.at("content-length"), "8");
  EXPECT_EQ(client.read_reply().value().body, "GET /y ");
}

/// "body" as gzip writes it.
const std::string kPackedBody(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x4b\xca\x4f\xa9\x04\x00\xb2\x0b\xa8\xdb\x04\x00\x00"
    "\x00",
    24);

TEST_F(HttpServerTest, PackedBodiesAreTakenWhereToldSo) {
  start();
  EXPECT_EQ(http_post(port(), "/a", kPackedBody, "Content-Encoding: gzip\r\n").status, 415);
  EXPECT_EQ(http_post(port(), "/a", "plain", "Content-Encoding: identity\r\n").status, 200);
  start({.accepts_gzip = true});
  EXPECT_EQ(http_post(port(), "/a", kPackedBody, "Content-Encoding: gzip\r\n").body,
            "POST /a body");
  EXPECT_EQ(http_post(port(), "/a", "damaged", "Content-Encoding: gzip\r\n").status, 400);
  for (const char* encoding : {"br", "gzip, gzip", "gzip\r\nContent-Encoding: gzip"}) {
    const std::string header = fmt::format("Content-Encoding: {}\r\n", encoding);
    EXPECT_EQ(http_post(port(), "/a", kPackedBody, header).status, 415) << encoding;
  }
}

TEST_F(HttpServerTest, HalfClosedClientsAreAnsweredWhereToldSo) {
  start({.allows_half_close = true});
  HttpClient client(port());
  client.send(get("/keep") + get("/next"));
  client.shut_down_sending();
  const auto exchange = handler_.wait_for_kept();
  exchange->start(make_response(200, "text/plain", "one\n"));
  client.read_until("one\n");
  exchange->write("two\n");
  exchange->finish();
  client.read_until("two\n\r\n0\r\n\r\n");
  // What was sent before the end is answered too.
  EXPECT_EQ(client.read_reply().value().body, "GET /next ");
  EXPECT_TRUE(client.is_closed_by_server());
}

TEST_F(HttpServerTest, HalfClosedClientsAreGoneElsewhere) {
  start();
  HttpClient client(port());
  client.send(get("/keep"));
  const auto exchange = handler_.wait_for_kept();
  client.shut_down_sending();
  EXPECT_EQ(handler_.wait_for_close(), CloseReason::kClientGone);
}

TEST_F(HttpServerTest, ManyRefusedRequestsAtOnce) {
  start();
  HttpClient client(port());
  std::string all;
  for (int i = 0; i < 2000; ++i) all += get("/refused");
  client.send(all);
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(client.read_reply().value().status, 401);
}

TEST_F(HttpServerTest, TellsWhenTheClientLeaves) {
  start();
  {
    HttpClient client(port());
    client.send(get("/keep"));
    const auto exchange = handler_.wait_for_kept();
    client.close();
    EXPECT_EQ(handler_.wait_for_close(), CloseReason::kClientGone);
    EXPECT_TRUE(exchange->is_closed());
    exchange->respond(make_response(200, "text/plain", "too late"));
  }
  EXPECT_EQ(http_get(port(), "/").status, 200);
}

TEST_F(HttpServerTest, DisconnectsWhoDoesNotRead) {
  start({.max_unsent_bytes = 100'000});
  HttpClient client(port());
  client.send(get("/keep"));
  const auto exchange = handler_.wait_for_kept();
  exchange->start(make_response(200, "text/plain", ""));
  // The system's buffers take some megabytes before anything waits here.
  while (!exchange->is_closed()) {
    if (exchange->unsent_bytes() < 200'000) exchange->write(std::string(50'000, 'x'));
    std::this_thread::yield();
  }
  EXPECT_EQ(handler_.wait_for_close(), CloseReason::kSlowClient);
}

TEST_F(HttpServerTest, ReadersThatStallAreDisconnected) {
  start({.write_time = std::chrono::milliseconds(50)});
  HttpClient client(port());
  client.send(get("/keep"));
  const auto exchange = handler_.wait_for_kept();
  exchange->respond(make_response(200, "text/plain", std::string(32 << 20, 'x')));
  // Until the server has given up: the rest of the answer never comes.
  while (server_->stats().answers > 0) std::this_thread::yield();
  bool is_whole = false;
  try {
    is_whole = client.read_reply().has_value();
  } catch (const std::runtime_error&) {
  }
  EXPECT_FALSE(is_whole);
}

TEST_F(HttpServerTest, FailuresOfTheHandlerAreAnswered) {
  start();
  EXPECT_EQ(http_get(port(), "/throw").status, 500);
  EXPECT_EQ(http_get(port(), "/forget").status, 500);
}

TEST_F(HttpServerTest, ConnectionsAreBounded) {
  start({.max_connections = 2});
  HttpClient first(port());
  HttpClient second(port());
  first.send(get("/"));
  second.send(get("/"));
  EXPECT_EQ(first.read_reply().value().status, 200);
  EXPECT_EQ(second.read_reply().value().status, 200);
  HttpClient third(port());
  EXPECT_TRUE(third.is_closed_by_server());
  first.close();
  while (server_->stats().connections > 1) std::this_thread::yield();
  EXPECT_EQ(http_get(port(), "/").status, 200);
}

TEST_F(HttpServerTest, DrainEndsConnectionsAfterTheirAnswer) {
  start();
  HttpClient busy(port());
  busy.send(get("/keep"));
  const auto exchange = handler_.wait_for_kept();
  HttpClient idle(port());
  idle.send(get("/"));
  EXPECT_EQ(idle.read_reply().value().status, 200);
  server_->begin_drain();
  EXPECT_TRUE(idle.is_closed_by_server());
  exchange->respond(make_response(200, "text/plain", "done"));
  const HttpReply reply = busy.read_reply().value();
  EXPECT_EQ(reply.body, "done");
  EXPECT_EQ(reply.headers.at("connection"), "close");
  EXPECT_TRUE(busy.is_closed_by_server());
}

// Whoever looks at the clock again and again, as pings and limits on answers do, waits for nothing
// once the answer is there.
TEST_F(HttpServerTest, TimersDoNotHoldUpTheEnd) {
  start();
  HttpClient client(port());
  client.send(get("/keep"));
  auto exchange = handler_.wait_for_kept();
  bool has_run = false;
  exchange->post_after(std::chrono::hours(1), [&] { has_run = true; });
  exchange->respond(make_response(200, "text/plain", "done"));
  exchange = nullptr;
  EXPECT_EQ(client.read_reply().value().body, "done");
  server_.reset();
  EXPECT_FALSE(has_run);
}

TEST_F(HttpServerTest, TwoServersCannotShareAPort) {
  start();
  HttpServerConfig config;
  config.port = port();
  try {
    const HttpServer other(config, handler_);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
    EXPECT_NE(std::string(error.what()).find(std::to_string(port())), std::string::npos);
  }
}

TEST_F(HttpServerTest, ManyClientsAtTheSameTime) {
  start();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([this, t] {
      HttpClient client(port());
      for (int i = 0; i < 200; ++i) {
        const std::string body = std::to_string(t * 1000 + i);
        client.send(testing::post_bytes("/m", body));
        EXPECT_EQ(client.read_reply().value().body, fmt::format("POST /m {}", body));
      }
    });
  }
}

}  // namespace
}  // namespace llava::serve
