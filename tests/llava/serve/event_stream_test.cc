// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/event_stream.h"

#include <gtest/gtest.h>

#include <future>

#include "local_server.h"

namespace llava::serve {
namespace {

using testing::HttpClient;

/// A route whose stream stays open until the test says what it sends.
class EventStreamTest : public ::testing::Test {
 protected:
  void open(const EventStreamOptions& options) {
    server_ = std::make_unique<LocalServer>([this, options](Router& router) {
      router.add("POST", "/events", Access::kOpen, [this, options](const RouteCall& call) {
        call.exchange->post([this, options, exchange = call.exchange] {
          const auto stream = std::make_shared<EventStream>(exchange, options);
          stream->open();
          stream_.set_value(stream);
          exchange_.set_value(exchange);
        });
      });
    });
    client_ = std::make_unique<HttpClient>(server_->port());
    client_->send(testing::post_bytes("/events", "{}"));
    exchange_kept_ = exchange_.get_future().get();
    kept_ = stream_.get_future().get();
  }
  void TearDown() override {
    exchange_kept_.reset();
    kept_.reset();
    client_.reset();
    server_.reset();
  }
  void send(const std::string& event) {
    exchange_kept_->post([stream = kept_, event] { stream->put(event); });
  }
  void finish() {
    exchange_kept_->post([stream = kept_] { stream->finish(); });
  }

  std::promise<std::shared_ptr<EventStream>> stream_;
  std::promise<std::shared_ptr<HttpExchange>> exchange_;
  std::unique_ptr<LocalServer> server_;
  std::unique_ptr<HttpClient> client_;
  std::shared_ptr<EventStream> kept_;
  std::shared_ptr<HttpExchange> exchange_kept_;
};

TEST_F(EventStreamTest, PingsWhileThereIsNothingToSay) {
  open({.ping_interval = std::chrono::milliseconds(20)});
  send("data: 1\n\n");
  EXPECT_NE(client_->read_until("data: 1\n\n").find("200 OK"), std::string::npos);
  for (int i = 0; i < 3; ++i) client_->read_until(": ping\n\n");
  send("data: 2\n\n");
  client_->read_until("data: 2\n\n");
  client_->read_until(": ping\n\n");
  finish();
  client_->read_until("0\r\n\r\n");
}

TEST_F(EventStreamTest, HeadersGoOutAtOnceWhereAsked) {
  open({.has_early_headers = true});
  const std::string head = client_->read_until(": ping\n\n");
  EXPECT_NE(head.find("text/event-stream"), std::string::npos) << head;
  EXPECT_TRUE(kept_->has_started());
  send("data: 1\n\n");
  finish();
  EXPECT_EQ(client_->read_until("0\r\n\r\n").find(": ping"), std::string::npos);
}

TEST_F(EventStreamTest, NothingBeforeTheFirstEventElsewhere) {
  open({.ping_interval = std::chrono::milliseconds(5)});
  // Behind several timers of pings, on the strand that they run on.
  std::promise<void> later;
  exchange_kept_->post_after(std::chrono::milliseconds(50), [&later] { later.set_value(); });
  later.get_future().wait();
  EXPECT_FALSE(kept_->has_started());
  send("data: 1\n\n");
  const std::string begin = client_->read_until("data: 1\n\n");
  EXPECT_EQ(begin.find(": ping"), std::string::npos) << begin;
  finish();
  client_->read_until("0\r\n\r\n");
}

}  // namespace
}  // namespace llava::serve
