// SPDX-License-Identifier: Apache-2.0
//
// The SGLang worker in front of a server that answers as SGLang's do.
#include "llava/serve/sglang/sglang_worker.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <future>

#include "llava/core/error.h"
#include "llava/core/guarded.h"
#include "llava/core/json.h"
#include "llava/serve/legacy/worker_api.h"
#include "llava/serve/sglang/generate_event.h"
#include "local_server.h"

namespace llava::serve {
namespace {

using testing::HttpClient;
using testing::HttpReply;

const char* const kQuestion = R"({"prompt": "USER: Hi ASSISTANT:", "max_new_tokens": 8})";

/// What an answer of SGLang 0.4 looks like on the wire.
const std::string kEvents =
    R"(data: {"text": " A", "meta_info": {"id": "7", "finish_reason": null, "prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 0}})"
    "\n\n"
    R"(data: {"text": " A c\u00e9", "meta_info": {"id": "7", "finish_reason": null, "prompt_tokens": 9, "completion_tokens": 2, "cached_tokens": 0}})"
    "\n\n"
    R"(data: {"text": " A c\u00e9", "meta_info": {"id": "7", "finish_reason": {"type": "stop", "matched": 2}, "prompt_tokens": 9, "completion_tokens": 3, "cached_tokens": 0, "e2e_latency": 0.5}})"
    "\n\ndata: [DONE]\n\n";

/// A server whose /generate answers with given bytes.
class FakeSglang {
 public:
  FakeSglang()
      : server_([this](Router& router) {
          router.add("GET", "/get_model_info", Access::kOpen, [this](const RouteCall& call) {
            call.exchange->respond(
                make_response(200, "application/json",
                              state_.with([](const State& state) { return state.model_info; })));
          });
          router.add("POST", "/generate", Access::kOpen,
                     [this](const RouteCall& call) { generate(call); });
        }) {}

  std::string address() const { return server_.address(); }

  /// What /generate answers with from now on.
  void answer_with(HttpResponse answer) {
    state_.with([&](State& state) { state.answer = std::move(answer); });
  }
  /// Whether its answers begin and never end.
  void keep_streams(bool keeps) {
    state_.with([&](State& state) { state.keeps_streams = keeps; });
  }
  void set_model_info(std::string info) {
    state_.with([&](State& state) { state.model_info = std::move(info); });
  }
  /// The body and the Authorization of the last request.
  std::string last_body() const {
    return state_.with([](const State& state) { return state.last_body; });
  }
  std::string last_key() const {
    return state_.with([](const State& state) { return state.last_key; });
  }

  std::promise<void> client_left;  ///< of a stream that was kept

 private:
  struct State {
    std::string model_info = R"({"model_path": "/models/llava-v1.5-7b/", "is_generation": true})";
    HttpResponse answer = make_response(200, "text/event-stream", kEvents);
    bool keeps_streams = false;
    std::string last_body;
    std::string last_key;
  };

  void generate(const RouteCall& call) {
    const auto [answer, keeps_streams] = state_.with([&](State& state) {
      state.last_body = call.request.body;
      state.last_key = std::string(call.request.header("Authorization").value_or(""));
      return std::pair(state.answer, state.keeps_streams);
    });
    if (!keeps_streams) return call.exchange->respond(answer);
    call.exchange->start(answer);
    call.exchange->on_close([this, kept = call.exchange](CloseReason) { client_left.set_value(); });
  }

  Guarded<State> state_;
  LocalServer server_;
};

class SglangWorkerTest : public ::testing::Test {
 protected:
  LocalServer& worker(SglangWorkerOptions options = {}) {
    options.endpoint.url = fake_.address();
    if (options.model_name.empty()) options.model_name = "llava-v1.5-7b";
    auto owned = std::make_unique<SglangWorker>(std::move(options));
    routes_ = owned.get();
    worker_ = std::make_unique<LocalServer>(std::move(owned));
    return *worker_;
  }

  std::string ask(const std::string& body = kQuestion) {
    const HttpReply reply = worker_->post("/worker_generate_stream", body);
    EXPECT_EQ(reply.status, 200);
    EXPECT_FALSE(reply.headers.contains("content-type"));
    return reply.body;
  }

  FakeSglang fake_;
  std::unique_ptr<LocalServer> worker_;
  SglangWorker* routes_ = nullptr;
};

std::string record_of(const std::string& text, int code = 0) {
  return fmt::format("{{\"text\": \"{}\", \"error_code\": {}}}", text, code) + '\0';
}

const std::string kFailure = record_of(std::string(kServerErrorText), 1);

TEST_F(SglangWorkerTest, EventsBecomeRecords) {
  worker();
  EXPECT_EQ(ask(),
            record_of("USER: Hi ASSISTANT: A") + record_of("USER: Hi ASSISTANT: A c\\u00e9"));
  EXPECT_EQ(parse_json(fake_.last_body(), "")["text"], "USER: Hi ASSISTANT:");
  EXPECT_EQ(fake_.last_key(), "");
  EXPECT_EQ(parse_json(worker_->post("/worker_generate", kQuestion).body, "")["text"],
            "USER: Hi ASSISTANT: A c\u00e9");
}

TEST_F(SglangWorkerTest, WhatIsAskedForBesides) {
  worker({.endpoint = {.url = {}, .api_key = "secret"}, .model_name = {}, .stream_interval = 3});
  const std::string records =
      ask(R"({"prompt": "P", "extended": true, "stop": "###", "temperature": 0})");
  EXPECT_EQ(records,
            record_of("P A c\\u00e9") +
                "{\"text\": \"P A c\\u00e9\", \"error_code\": 0, \"finish_reason\": \"stop\", "
                "\"usage\": {\"prompt_tokens\": 9, \"completion_tokens\": 3, "
                "\"total_tokens\": 12}}" +
                std::string(1, '\0'));
  EXPECT_EQ(fake_.last_key(), "Bearer secret");
}

TEST_F(SglangWorkerTest, ServersWithoutEvents) {
  worker();
  // The servers of the original's time: parts that end with NUL, and the last one may lack it.
  fake_.answer_with(make_response(200, "text/plain",
                                  std::string(R"({"text": "a", "meta_info": {}})") + '\0' +
                                      R"({"text": "a b", "meta_info": {}})"));
  EXPECT_EQ(ask(), record_of("USER: Hi ASSISTANT:a") + record_of("USER: Hi ASSISTANT:a b"));
  fake_.answer_with(make_response(200, "application/json", R"({"text": "whole"})"));
  EXPECT_EQ(ask(), record_of("USER: Hi ASSISTANT:whole"));
}

TEST_F(SglangWorkerTest, FailuresAreRecordsOfOneKind) {
  worker();
  for (const HttpResponse& answer : {
           make_response(400, "application/json", R"({"error": {"message": "too long"}})"),
           make_response(200, "text/event-stream",
                         "data: {\"error\": {\"message\": \"lost\"}}\n\ndata: [DONE]\n\n"),
           make_response(200, "text/event-stream",
                         "data: {\"text\": \"\", \"meta_info\": {\"finish_reason\": {\"type\": "
                         "\"abort\", \"message\": \"gone\"}}}\n\ndata: [DONE]\n\n"),
           make_response(200, "text/event-stream", "data: [1]\n\n"),
           make_response(200, "text/event-stream", "data: {\"tex\": 1}\n\n"),
           // As the server's own client library, which says nothing then.
           make_response(200, "text/event-stream", ""),
           make_response(200, "application/json", ""),
       }) {
    fake_.answer_with(answer);
    EXPECT_EQ(ask(), kFailure) << answer.body;
  }
  fake_.answer_with(
      make_response(200, "text/event-stream", "data: {\"text\": \"a\", \"meta_info\": {}}\n\n"));
  EXPECT_EQ(ask(), record_of("USER: Hi ASSISTANT:a") + kFailure) << "cut off";
  fake_.answer_with(make_response(200, "text/event-stream", kEvents));
  for (const char* body : {"{", R"({"max_new_tokens": 1})", R"({"prompt": "<image>"})",
                           R"({"prompt": "<image>", "images": ["AAAA"]})"}) {
    EXPECT_EQ(ask(body), kFailure) << body;
  }
}

TEST_F(SglangWorkerTest, NobodyBehindIt) {
  SglangWorkerOptions options;
  {
    const FakeSglang gone;
    options.endpoint.url = gone.address();
  }
  options.model_name = "m";
  worker_ = std::make_unique<LocalServer>(std::make_unique<SglangWorker>(std::move(options)));
  EXPECT_EQ(ask(), kFailure);
}

TEST_F(SglangWorkerTest, AClientThatLeavesEndsTheAnswerBehindIt) {
  worker();
  fake_.keep_streams(true);
  fake_.answer_with(
      make_response(200, "text/event-stream", kEvents.substr(0, kEvents.find("data: ["))));
  HttpClient client(worker_->port());
  client.send(testing::post_bytes("/worker_generate_stream", kQuestion));
  client.read_until("error_code");
  EXPECT_EQ(routes_->report().status.queue_length, 1);
  client.close();
  fake_.client_left.get_future().wait();
  while (routes_->report().status.queue_length > 0) {
  }
}

TEST_F(SglangWorkerTest, RequestsWaitAtTheGate) {
  worker({.endpoint = {}, .model_name = {}, .limit_model_concurrency = 1});
  fake_.keep_streams(true);
  fake_.answer_with(
      make_response(200, "text/event-stream", kEvents.substr(0, kEvents.find("data: ["))));
  HttpClient first(worker_->port());
  first.send(testing::post_bytes("/worker_generate_stream", kQuestion));
  first.read_until("error_code");
  HttpClient impatient(worker_->port());
  impatient.send(testing::post_bytes("/worker_generate_stream", kQuestion));
  while (routes_->report().load.num_waiting != 1) {
  }
  impatient.close();
  while (routes_->report().load.num_waiting != 0) {
  }
  HttpClient second(worker_->port());
  second.send(testing::post_bytes("/worker_generate_stream", kQuestion));
  while (routes_->report().load.num_waiting != 1) {
  }
  EXPECT_EQ(worker_->post("/worker_get_status", "").body,
            R"({"model_names":["llava-v1.5-7b"],"speed":1,"queue_length":2})");
  fake_.keep_streams(false);
  fake_.answer_with(make_response(200, "text/event-stream", kEvents));
  first.close();
  second.read_until("c\\u00e9");
}

TEST_F(SglangWorkerTest, TheModelIsThatOfTheServer) {
  OutgoingHttp http;
  SglangModel model = ask_model_info(http, {.url = fake_.address(), .api_key = {}});
  EXPECT_EQ(model.path, "/models/llava-v1.5-7b/");
  EXPECT_TRUE(model.sees_images);
  fake_.set_model_info(R"({"model_path": "llava", "has_image_understanding": false})");
  EXPECT_FALSE(ask_model_info(http, {.url = fake_.address(), .api_key = {}}).sees_images);
  for (const char* info : {"{}", "[]", "x", R"({"model_path": 3})"}) {
    fake_.set_model_info(info);
    EXPECT_THROW(ask_model_info(http, {.url = fake_.address(), .api_key = {}}), Error) << info;
  }
  EXPECT_THROW(ask_model_info(http, {.url = "http://127.0.0.1:1", .api_key = {}}), Error);
}

TEST(GenerateEvent, FinishReasonsOfAllServers) {
  const auto reason = [](const std::string& json) {
    return read_generate_event(R"({"text": "", "meta_info": {"finish_reason": )" + json + "}}")
        .finish_reason;
  };
  EXPECT_EQ(reason("null"), "");
  EXPECT_EQ(reason(R"("length")"), "length");
  EXPECT_EQ(reason(R"({"type": "stop", "matched": "###"})"), "stop");
  EXPECT_EQ(read_generate_event(R"({"error": "plain"})").error, "plain");
  EXPECT_TRUE(read_generate_event("[DONE]").is_last);
}

}  // namespace
}  // namespace llava::serve
