// SPDX-License-Identifier: Apache-2.0
//
// The gateway between a real controller and workers that do what a test tells them.
#include "llava/serve/gateway/gateway.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <future>

#include "fake_worker.h"
#include "llava/core/json.h"
#include "llava/serve/controller/controller_api.h"
#include "llava/serve/legacy/worker_api.h"
#include "local_server.h"

namespace llava::serve {
namespace {

using testing::HttpClient;
using testing::HttpReply;

const char* const kChat =
    R"({"model": "llava-v1.5", "messages": [{"role": "user", "content": "Q"}]})";
const char* const kStreamedChat =
    R"({"model": "llava-v1.5", "messages": [{"role": "user", "content": "Q"}], "stream": true,
        "stream_options": {"include_usage": true}})";
const char* const kPath = "/v1/chat/completions";
const std::string kPrompt =
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the human's questions. USER: Q ASSISTANT:";

FakeWorker::Answer stream(const std::string& type, const std::string& pieces) {
  return [=](const RouteCall& call) {
    call.exchange->start(type.empty() ? HttpResponse{.status = 200, .headers = {}, .body = pieces}
                                      : make_response(200, type, pieces));
    call.exchange->finish();
  };
}

std::string record(const std::string& text, int code = 0) {
  return fmt::format(R"({{"text": "{}", "error_code": {}}})", text, code) + '\0';
}

class GatewayTest : public ::testing::Test {
 protected:
  void start(GatewayOptions options = {}) {
    options.controller_address = controller_->address();
    gateway_ = std::make_unique<LocalServer>(std::make_unique<Gateway>(options));
  }

  /// Registers a worker of the model; those with shorter queues are asked first.
  void add_worker(const std::string& address, double queue_length = 0,
                  const std::string& model = "llava-v1.5") {
    const HttpReply reply = controller_->post(
        "/register_worker",
        fmt::format(R"({{"worker_name": "{}", "check_heart_beat": false, "worker_status":
                         {{"model_names": ["{}"], "speed": 1, "queue_length": {}}}}})",
                    address, model, queue_length));
    EXPECT_EQ(reply.body, "null");
  }

  std::string error_code(const std::string& body, int status, const std::string& path = kPath) {
    const HttpReply reply = gateway_->post(path, body);
    EXPECT_EQ(reply.status, status) << reply.body;
    return parse_json(reply.body, "")["error"].value("code", "");
  }

  std::unique_ptr<LocalServer> controller_ =
      std::make_unique<LocalServer>(std::make_unique<Controller>(ControllerOptions{}));
  std::unique_ptr<LocalServer> gateway_;
};

TEST_F(GatewayTest, AnswersPassAsTheyAre) {
  const FakeWorker worker(true, whole(200, R"({"id": "x",  "kept":1})"));
  add_worker(worker.address());
  start();
  const HttpReply reply = gateway_->post(kPath, kChat,
                                         "Authorization: Bearer mine\r\nX-Request-Id: "
                                         "id-1\r\ntraceparent: 00-a-b-01\r\nX-Other: 1\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, R"({"id": "x",  "kept":1})");
  EXPECT_EQ(reply.headers.at("x-request-id"), "id-1");
  EXPECT_FALSE(reply.headers.contains("x-own"));
  const HttpRequest asked = worker.last_request();
  EXPECT_EQ(asked.body, kChat);
  EXPECT_EQ(asked.header("X-Request-Id"), "id-1");
  EXPECT_EQ(asked.header("traceparent"), "00-a-b-01");
  EXPECT_EQ(asked.header("Content-Type"), "application/json");
  EXPECT_EQ(asked.header("X-Forwarded-For"), "127.0.0.1");
  EXPECT_FALSE(asked.header("Authorization"));
  EXPECT_FALSE(asked.header("X-Other"));
}

TEST_F(GatewayTest, KeysAreForwardedOnlyWhenToldTo) {
  const FakeWorker worker(true, whole(200, "{}"));
  add_worker(worker.address());
  start({.controller_address = {}, .worker_token = "secret"});
  gateway_->post(kPath, kChat, "Authorization: Bearer mine\r\nx-api-key: mine\r\n");
  EXPECT_EQ(worker.last_request().header("Authorization"), "Bearer secret");
  EXPECT_FALSE(worker.last_request().header("x-api-key"));
  start({.controller_address = {}, .worker_token = "secret", .forward_authorization = true});
  gateway_->post(kPath, kChat, "Authorization: Bearer mine\r\nx-api-key: own\r\n");
  EXPECT_EQ(worker.last_request().header("Authorization"), "Bearer mine");
  EXPECT_EQ(worker.last_request().header("x-api-key"), "own");
}

TEST_F(GatewayTest, StreamsPassPieceByPiece) {
  std::promise<std::shared_ptr<HttpExchange>> kept;
  const FakeWorker worker(true, [&](const RouteCall& call) {
    call.exchange->start(make_response(200, "text/event-stream; charset=utf-8", "data: 1\n\nda"));
    kept.set_value(call.exchange);
  });
  add_worker(worker.address());
  start();
  HttpClient client(gateway_->port());
  client.send(testing::post_bytes(kPath, kStreamedChat));
  const std::string head = client.read_until("data: 1\n\n");
  EXPECT_NE(head.find("text/event-stream; charset=utf-8"), std::string::npos);
  const auto exchange = kept.get_future().get();
  exchange->write("ta: [DONE]\n\n");
  client.read_until("data: [DONE]\n\n");
  exchange->finish();
}

TEST_F(GatewayTest, AClientThatLeavesEndsTheWorkersRequest) {
  std::promise<void> left;
  const FakeWorker worker(true, [&](const RouteCall& call) {
    call.exchange->on_close([&left, kept = call.exchange](CloseReason) { left.set_value(); });
    call.exchange->start(make_response(200, "text/event-stream", "data: 1\n\n"));
  });
  add_worker(worker.address());
  start();
  HttpClient client(gateway_->port());
  client.send(testing::post_bytes(kPath, kStreamedChat));
  client.read_until("data: 1");
  client.close();
  left.get_future().wait();
}

TEST_F(GatewayTest, AnotherWorkerIsAskedWhileNothingWasForwarded) {
  const FakeWorker full(true, whole(503, R"({"error": {"code": "overloaded"}})"));
  const FakeWorker breaking(true, [](const RouteCall& call) { call.exchange->abort(); });
  const FakeWorker good(true, whole(200, R"({"good": true})"));
  add_worker("http://127.0.0.1:1", 0);
  add_worker(full.address(), 10);
  add_worker(good.address(), 20);
  start();
  EXPECT_EQ(gateway_->post(kPath, kChat).body, R"({"good": true})");
  EXPECT_EQ(full.num_requests(), 1);
  EXPECT_EQ(good.num_requests(), 1);
  add_worker(breaking.address(), 5);
  // The first is dead, the second breaks, the third is full: no fourth is asked.
  const HttpReply reply = gateway_->post(kPath, kChat);
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.body, R"({"error": {"code": "overloaded"}})");
  EXPECT_EQ(reply.headers.at("retry-after"), "7");
  // The client library tries a kept connection that was closed once more on a new one.
  EXPECT_GE(breaking.num_requests(), 1);
  EXPECT_EQ(good.num_requests(), 1);
}

TEST_F(GatewayTest, WorkersThatFailAreReported) {
  const FakeWorker good(true, whole(200, "{}"));
  add_worker("http://127.0.0.1:1", 0);
  add_worker(good.address(), 100);
  start();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(gateway_->post(kPath, kChat).status, 200);
  // Two reports make it suspect, and the controller names it no more.
  EXPECT_EQ(controller_->post("/get_worker_address", R"({"model": "llava-v1.5"})").body,
            fmt::format(R"({{"address":"{}"}})", good.address()));
}

TEST_F(GatewayTest, MetricsSayWhatBecameOfRequests) {
  const FakeWorker good(true, whole(200, "{}"));
  add_worker("http://127.0.0.1:1", 0);
  add_worker(good.address(), 100);
  start();
  EXPECT_EQ(gateway_->post(kPath, kChat).status, 200);
  // An attempt is counted when its answer has gone.
  std::string gateway;
  while (gateway.find("result=\"answered\"") == std::string::npos) {
    gateway = testing::http_get(gateway_->port(), "/metrics").body;
  }
  for (const std::string& line :
       {std::string(R"(llava_gateway_attempts_total{result="lost",worker="http://127.0.0.1:1"} 1)"),
        fmt::format(R"(llava_gateway_attempts_total{{result="answered",worker="{}"}} 1)",
                    good.address()),
        std::string("llava_gateway_retries_total 1"), std::string("llava_gateway_open_circuits 0"),
        fmt::format(R"(llava_requests_received_total{{endpoint="{}"}} 1)", kPath)}) {
    EXPECT_NE(gateway.find("\n" + line + "\n"), std::string::npos) << line << "\n" << gateway;
  }
  EXPECT_EQ(controller_->post("/get_worker_address", R"({"model": "made-up"})").status, 200);
  const std::string table = testing::http_get(controller_->port(), "/metrics").body;
  for (const std::string& line : {
           std::string(R"(llava_controller_workers{model="llava-v1.5",state="ready"} 2)"),
           std::string(
               R"(llava_controller_dispatch_total{method="shortest_queue",model="other",)") +
               R"(result="none"} 1)",
           std::string(R"(llava_controller_dispatch_total{method="shortest_queue",)") +
               R"(model="llava-v1.5",result="worker"} 2)",
       }) {
    EXPECT_NE(table.find("\n" + line + "\n"), std::string::npos) << line << "\n" << table;
  }
  // One that leaves is gone from the numbers.
  controller_->post("/unregister_worker",
                    fmt::format(R"({{"worker_name": "{}"}})", good.address()));
  EXPECT_EQ(testing::http_get(controller_->port(), "/metrics").body.find(good.address()),
            std::string::npos);
}

TEST_F(GatewayTest, WhatAControllerSaidHoldsWhileNoneAnswers) {
  const FakeWorker worker(true, whole(200, "{}"));
  add_worker(worker.address());
  start();
  EXPECT_EQ(gateway_->post(kPath, kChat).status, 200);
  const HttpReply models = testing::http_get(gateway_->port(), "/v1/models");
  controller_.reset();
  EXPECT_EQ(gateway_->post(kPath, kChat).status, 200);
  EXPECT_EQ(testing::http_get(gateway_->port(), "/v1/models").body, models.body);
  EXPECT_EQ(error_code(R"({"model": "never-seen", "messages": []})", 503),
            "controller_unavailable");
}

TEST_F(GatewayTest, AStreamThatBreaksSaysSo) {
  start();
  // What the client gets behind `seen` when the worker is lost.
  const auto rest_of = [&](const std::string& path, const std::string& type,
                           const std::string& pieces, const std::string& seen) {
    std::promise<std::shared_ptr<HttpExchange>> kept;
    const FakeWorker worker(true, [&](const RouteCall& call) {
      call.exchange->start(make_response(200, type, pieces));
      kept.set_value(call.exchange);
    });
    add_worker(worker.address(), 0, type);
    HttpClient client(gateway_->port());
    client.send(testing::post_bytes(path, fmt::format(R"({{"model": "{}"}})", type)));
    client.read_until(seen);
    kept.get_future().get()->abort();
    return client.read_until("\r\n0\r\n\r\n");
  };
  const std::string error =
      "{\"error\":{\"message\":\"the worker was lost before its answer was complete\",\"type\":"
      "\"server_error\",\"param\":null,\"code\":\"worker_failed\"}}";
  const std::string events =
      rest_of(kPath, "text/event-stream", "data: {\"a\": 1}\n\ndata: {\"cut", "\"a\": 1}\n\n");
  EXPECT_NE(events.find("\ndata: " + error + "\n\ndata: [DONE]\n\n"), std::string::npos) << events;
  EXPECT_EQ(events.find("cut"), std::string::npos) << events;
  const std::string ended =
      rest_of(kPath, "text/event-stream;", "data: [DONE]\n\n", "data: [DONE]\n\n");
  EXPECT_EQ(ended.find("data"), std::string::npos) << ended;
  const std::string lines =
      rest_of("/api/chat", "application/x-ndjson", "{\"a\": 1}\n{\"cut", "{\"a\": 1}\n");
  EXPECT_NE(lines.find("{\"error\":\"the worker was lost before its answer was complete\"}\n"),
            std::string::npos)
      << lines;
}

TEST_F(GatewayTest, WhatIsWrongIsSaid) {
  const FakeWorker shy(true, whole(401, "{}"));
  add_worker(shy.address(), 0, "shy");
  start();
  EXPECT_EQ(error_code("{", 400), "invalid_json");
  EXPECT_EQ(error_code(kChat, 404), "model_not_found");
  EXPECT_EQ(error_code(R"({"model": "shy"})", 502), "worker_failed");
  add_worker("http://127.0.0.1:1");
  EXPECT_EQ(error_code(kChat, 502), "worker_failed");
  EXPECT_EQ(error_code(R"({"messages": []})", 400), "missing_field") << "two models";
  const HttpReply ollama = gateway_->post("/api/chat", R"({"model": "none:latest"})");
  EXPECT_EQ(ollama.status, 404);
  EXPECT_TRUE(parse_json(ollama.body, "")["error"].is_string()) << ollama.body;
  EXPECT_EQ(testing::http_get(gateway_->port(), kPath).status, 405);
}

TEST_F(GatewayTest, WithoutAController) {
  GatewayOptions options;
  options.controller_address = "http://127.0.0.1:1";
  gateway_ = std::make_unique<LocalServer>(std::make_unique<Gateway>(options));
  EXPECT_EQ(error_code(kChat, 503), "controller_unavailable");
  EXPECT_EQ(error_code(R"({"messages": []})", 503), "controller_unavailable");
  EXPECT_EQ(testing::http_get(gateway_->port(), "/v1/models").status, 503);
  const FakeWorker worker(true, whole(200, "{}"));
  add_worker(worker.address());
  options.controller_address = "http://127.0.0.1:1," + controller_->address();
  gateway_ = std::make_unique<LocalServer>(std::make_unique<Gateway>(options));
  EXPECT_EQ(gateway_->post(kPath, kChat).status, 200);
}

TEST_F(GatewayTest, RequestsWaitForAFirstWorkerWhereToldSo) {
  GatewayOptions options;
  options.cold_start_wait = 60;
  start(options);
  const FakeWorker worker(true, whole(200, R"({"id": "x"})"));
  // One that names its model, and one that would be told which there is.
  for (const char* body : {kChat, R"({"messages": [{"role": "user", "content": "Q"}]})"}) {
    auto reply = std::async(std::launch::async, [&] { return gateway_->post(kPath, body); });
    if (worker.num_requests() == 0) {
      EXPECT_EQ(reply.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
      add_worker(worker.address());
    }
    EXPECT_EQ(reply.get().status, 200);
  }
}

TEST_F(GatewayTest, NobodyWaitsForeverForAFirstWorker) {
  GatewayOptions options;
  options.cold_start_wait = 0.01f;
  start(options);
  for (const char* body : {kChat, R"({"messages": [{"role": "user", "content": "Q"}]})"}) {
    const HttpReply reply = gateway_->post(kPath, body);
    EXPECT_EQ(reply.status, 503) << reply.body;
    EXPECT_EQ(parse_json(reply.body, "")["error"]["code"], "no_worker");
    EXPECT_EQ(reply.headers.at("retry-after"), "10");
  }
}

TEST_F(GatewayTest, TheServerEndsWhileRequestsWait) {
  GatewayOptions options;
  options.cold_start_wait = 3600;
  start(options);
  HttpClient client(gateway_->port());
  client.send(testing::post_bytes(kPath, kChat));
  EXPECT_EQ(gateway_->post("/v1/files", "").status, 501);
  gateway_.reset();
}

TEST_F(GatewayTest, FilesAndBatchesAreOfOneWorker) {
  start();
  for (const char* path : {"/v1/files", "/v1/batches", "/v1/batches/batch-1/cancel"}) {
    EXPECT_EQ(error_code("{}", 501, path), "not_implemented");
  }
  const HttpReply reply = testing::http_get(gateway_->port(), "/v1/files/file-1/content");
  EXPECT_EQ(reply.status, 501);
  EXPECT_NE(reply.body.find("one worker"), std::string::npos) << reply.body;
}

TEST_F(GatewayTest, ModelsOfAllWorkers) {
  const FakeWorker worker(true, whole(200, "{}"));
  add_worker(worker.address(), 0, "a");
  start();
  const auto get = [&](const std::string& path) {
    return parse_json(testing::http_get(gateway_->port(), path).body, path);
  };
  EXPECT_EQ(get("/v1/models")["data"][0]["id"], "a");
  EXPECT_EQ(get("/api/tags")["models"][0]["model"], "a");
  // The only model is meant where none is named.
  EXPECT_EQ(gateway_->post("/generate", R"({"text": "x"})").status, 200);
}

// Workers of the original.

TEST_F(GatewayTest, ChatsOfAnOriginalWorker) {
  const FakeWorker worker(false,
                          stream("", record(kPrompt + " A") + record(kPrompt + " A c\\u00e9") +
                                         record(kPrompt + " A c\\u00e9")));
  add_worker(worker.address());
  start();
  const Json answer = parse_json(gateway_->post(kPath, kChat).body, "answer");
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["model"], "llava-v1.5");
  EXPECT_EQ(answer["choices"][0]["message"]["content"], " A c\u00e9");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(answer["usage"]["total_tokens"], 0);
  EXPECT_EQ(parse_json(worker.last_request().body, "")["prompt"].get<std::string>(), kPrompt);

  const std::string body = gateway_->post(kPath, kStreamedChat).body;
  std::string content;
  std::vector<Json> events;
  std::string_view rest = body;
  for (; rest.starts_with("data: {"); rest.remove_prefix(rest.find("\n\n") + 2)) {
    events.push_back(parse_json(rest.substr(6, rest.find("\n\n") - 6), "event"));
    for (const Json& choice : events.back()["choices"])
      content += choice["delta"].value("content", "");
  }
  EXPECT_EQ(rest, "data: [DONE]\n\n");
  ASSERT_EQ(events.size(), 5u) << body;
  EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(content, " A c\u00e9");
  EXPECT_EQ(events[3]["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(events[3]["choices"][0]["delta"], Json::object());
  EXPECT_TRUE(events[4]["choices"].empty());
  EXPECT_EQ(events[4]["usage"]["completion_tokens"], 0);
}

TEST_F(GatewayTest, CompletionsOfAnOriginalWorker) {
  const FakeWorker worker(false, stream("", R"({"text": "Once upon", "error_code": 0,
      "finish_reason": "length", "usage": {"prompt_tokens": 3}})"));
  add_worker(worker.address());
  start();
  const char* const body = R"({"model": "llava-v1.5", "prompt": "Once"})";
  const Json answer = parse_json(gateway_->post("/v1/completions", body).body, "answer");
  EXPECT_EQ(answer["object"], "text_completion");
  EXPECT_EQ(answer["choices"][0]["text"], " upon");
  EXPECT_EQ(answer["choices"][0]["finish_reason"], "length") << "a worker that says more";
  EXPECT_EQ(answer["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(error_code(R"({"model": "llava-v1.5", "prompt": "x"})", 501, "/tokenize"),
            "not_implemented");
  EXPECT_EQ(parse_json(testing::http_get(gateway_->port(), "/v1/models/llava-v1.5").body, "")["id"],
            "llava-v1.5");
}

TEST_F(GatewayTest, StopStringsEndAnOriginalWorkersAnswer) {
  std::promise<void> left;
  const FakeWorker worker(false, [&](const RouteCall& call) {
    call.exchange->on_close([&left, kept = call.exchange](CloseReason) { left.set_value(); });
    call.exchange->start({.status = 200,
                          .headers = {},
                          .body = record(kPrompt + " one S") + record(kPrompt + " one STOP two")});
  });
  add_worker(worker.address());
  start();
  const Json answer =
      parse_json(gateway_
                     ->post(kPath, R"({"model": "llava-v1.5", "stop": "STOP", "messages":
          [{"role": "user", "content": "Q"}]})")
                     .body,
                 "answer");
  EXPECT_EQ(answer["choices"][0]["message"]["content"], " one ");
  left.get_future().wait();
}

TEST_F(GatewayTest, FailuresOfAnOriginalWorker) {
  FakeWorker::Answer answer;
  const FakeWorker worker(false, [&answer](const RouteCall& call) { answer(call); });
  add_worker(worker.address());
  start();
  const auto code = [&](FakeWorker::Answer next, int status, const char* body = kChat) {
    answer = std::move(next);
    return error_code(body, status);
  };
  EXPECT_EQ(code(stream("", record(std::string(kServerErrorText), 1)), 502), "worker_failed");
  EXPECT_EQ(code(stream("", record(kPrompt + std::string(kContextOverflowText))), 400),
            "context_length_exceeded");
  EXPECT_EQ(code(stream("", ""), 502), "worker_failed");
  EXPECT_EQ(code(whole(500, "Internal Server Error"), 502), "worker_failed");
  EXPECT_EQ(code(stream("", record("something else")), 502), "worker_failed");
  EXPECT_EQ(code(stream("", std::string("no JSON\0", 8)), 502), "worker_failed");
  HttpClient form(gateway_->port());
  form.send(
      fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
                  "Content-Length: {}\r\n\r\n{}",
                  kPath, std::string_view(kChat).size(), kChat));
  EXPECT_EQ(form.read_reply().value().status, 415);
  const FakeWorker late(false, stream("", record(kPrompt + " A") + record("error", 1)));
  add_worker(late.address(), 0, "llava-v1.5-late");
  const std::string events =
      gateway_
          ->post(kPath, R"({"model": "llava-v1.5-late", "stream": true, "messages":
          [{"role": "user", "content": "Q"}]})")
          .body;
  EXPECT_NE(events.find("\" A\""), std::string::npos) << events;
  EXPECT_NE(events.find("worker_failed"), std::string::npos) << events;
  EXPECT_TRUE(events.ends_with("data: [DONE]\n\n")) << events;
}

}  // namespace
}  // namespace llava::serve
