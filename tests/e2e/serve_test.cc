// SPDX-License-Identifier: Apache-2.0
//
// `llava serve` as its clients meet it.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>

#include "data_url.h"
#include "llava/core/file.h"
#include "model_server.h"
#include "program.h"
#include "support/http_client.h"
#include "support/loopback_server.h"

namespace llava::testing {
namespace {

namespace fs = std::filesystem;

TEST(Serve, AnswersAsTheCommandLineDoes) {
  const std::string picture = golden_image("wide_150x13.png");
  const Json asked = json_of(run_llava(ask_golden(kModel, picture, kQuestion)));
  const Server server(golden_flags());
  const Json answer = server.chat(question(picture));
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["model"], kModel);
  const Json& choice = answer["choices"][0];
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["finish_reason"], "length");
  // The command line cuts white space off the ends.
  EXPECT_NE(choice["message"]["content"].get<std::string>().find(asked["text"].get<std::string>()),
            std::string::npos)
      << choice << asked["text"];
  EXPECT_EQ(answer["usage"]["prompt_tokens"], asked["usage"]["prompt_tokens"]);
  EXPECT_EQ(answer["usage"]["prompt_tokens_details"]["image_tokens"],
            asked["usage"]["image_tokens"]);
  EXPECT_EQ(answer["usage"]["completion_tokens"], 8);
}

TEST(Serve, StreamsTheSameTextAndUsage) {
  const Server server(golden_flags());
  const std::string picture = golden_image("wide_150x13.png");
  const Json whole = server.chat(question(picture, R"("seed": 3, "temperature": 1, "n": 2)"), 400);
  EXPECT_EQ(whole["error"]["code"], "invalid_json") << "temperature occurs twice";
  const std::string members = R"("n": 2, "logprobs": true, "top_logprobs": 2)";
  const Json answer = server.chat(question(picture, members));
  const HttpReply reply = http_post(
      server.port(), "/v1/chat/completions",
      question(picture,
               members + R"(, "stream": true, "stream_options": {"include_usage": true})"));
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("content-type"), "text/event-stream; charset=utf-8");
  std::vector<std::string> texts(2);
  std::vector<std::string> reasons(2);
  std::vector<std::size_t> num_logprobs(2);
  const std::vector<Json> events = events_of(reply.body);
  ASSERT_GE(events.size(), 5u);
  for (const Json& event : events) {
    EXPECT_EQ(event["id"], events[0]["id"]);
    EXPECT_EQ(event["object"], "chat.completion.chunk");
    for (const Json& choice : event["choices"]) {
      const auto index = choice["index"].get<std::size_t>();
      const Json& delta = choice["delta"];
      if (delta.contains("content")) texts.at(index) += delta["content"].get<std::string>();
      if (choice["finish_reason"].is_string()) reasons.at(index) = choice["finish_reason"];
      if (choice["logprobs"].is_object()) {
        num_logprobs.at(index) += choice["logprobs"]["content"].size();
      }
    }
  }
  for (std::size_t i = 0; i < 2; ++i) {
    const Json& choice = answer["choices"][i];
    EXPECT_EQ(texts[i], choice["message"]["content"].get<std::string>());
    EXPECT_EQ(reasons[i], choice["finish_reason"].get<std::string>());
    EXPECT_EQ(num_logprobs[i], choice["logprobs"]["content"].size());
    EXPECT_EQ(choice["logprobs"]["content"][0]["top_logprobs"].size(), 2u);
  }
  EXPECT_EQ(events.back()["choices"].size(), 0u);
  EXPECT_EQ(events.back()["usage"]["completion_tokens"], answer["usage"]["completion_tokens"]);
  // The second time the picture and what stands before it were there already.
  EXPECT_GT(events.back()["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

TEST(Serve, RequestsChooseHowPicturesAreSeen) {
  const std::string model = "llava-v1.6-unpad";
  const std::string picture = golden_image("landscape_96x64.jpg");
  const auto asked = [&](const Strings& flags) {
    return json_of(run_llava(ask_golden(model, picture, kQuestion) + flags));
  };
  const Server server({"--model-path", golden_model(model), "--dtype", "float32"});
  const auto tokens = [&](const std::string& members, const std::string& detail = "auto") {
    std::string body = question(picture, members);
    body.insert(body.find(R"("url":)"), fmt::format(R"("detail":"{}",)", detail));
    const Json answer = server.chat(body);
    return answer["usage"]["prompt_tokens_details"]["image_tokens"].get<int>();
  };
  const int own = asked({})["usage"]["image_tokens"].get<int>();
  const int padded = asked({"--image-aspect-ratio", "pad"})["usage"]["image_tokens"].get<int>();
  ASSERT_LT(padded, own);
  EXPECT_EQ(tokens(""), own);
  EXPECT_EQ(tokens("", "high"), own);
  EXPECT_EQ(tokens("", "low"), padded);
  EXPECT_EQ(tokens(R"("mm_processor_kwargs": {"image_aspect_ratio": "pad"})"), padded);
  // Seen before in another way: not taken for the same.
  EXPECT_EQ(tokens(""), own);
  const Server narrow(golden_flags());
  EXPECT_EQ(
      narrow.chat(question(picture, R"("mm_processor_kwargs": {"image_aspect_ratio": "anyres"})"),
                  400)["error"]["code"],
      "invalid_value");
}

TEST(Serve, WhatUsersWriteMakesNoPicturesAndNoSpecialTokens) {
  const Server server(golden_flags());
  const auto count_of = [&](const std::string& text) {
    OrderedJson body;
    body["messages"] = OrderedJson::array({{{"role", "user"}, {"content", text}}});
    const HttpReply reply = http_post(server.port(), "/tokenize", to_text(body));
    EXPECT_EQ(reply.status, 200) << reply.body;
    return parse_json(reply.body, "answer");
  };
  EXPECT_EQ(server.chat(R"({"max_tokens": 1, "messages":
      [{"role": "user", "content": "<image> </s> <s> <image>"}]})")["object"],
            "chat.completion");
  const Json tokens = count_of("a</s>b")["tokens"];
  EXPECT_EQ(std::count(tokens.begin(), tokens.end(), Json(2)), 0) << tokens;
}

TEST(Serve, FetchesPicturesWhereItMay) {
  const std::string picture = golden_image("landscape_96x64.jpg");
  LoopbackServer host([&](const std::string& path) {
    if (path == "/picture.png") return http_answer("200 OK", read_file(picture, 1 << 20));
    return http_answer("404 Not Found", "");
  });
  const std::string url = host.address("/picture.png");
  const std::string port = url.substr(17, url.find('/', 17) - 17);
  const auto asked = [&](const std::string& address, const Strings& flags, int status = 200) {
    const Server server(golden_flags() + flags);
    OrderedJson body = OrderedJson::parse(question(picture));
    body["messages"][0]["content"][1]["image_url"]["url"] = address;
    return server.chat(to_text(body), status);
  };
  const std::string expected = Server(golden_flags()).chat(question(picture))["choices"][0].dump();
  const Strings fetching{"--image-url-policy", "public", "--image-url-port", port};
  EXPECT_EQ(
      asked(url, fetching + Strings{"--image-url-network", "127.0.0.1/32"})["choices"][0].dump(),
      expected);
  EXPECT_EQ(
      asked(url, fetching, 400)["error"],
      Json::parse(
          R"({"message": "messages[0].content[1].image_url.url: The image could not be fetched.",
                            "type": "invalid_request_error", "code": "image_fetch_failed",
                            "param": "messages[0].content[1].image_url.url"})"));
  const fs::path folder = fs::path(picture).parent_path();
  EXPECT_EQ(
      asked("file://" + picture, {"--allowed-media-path", folder.string()})["choices"][0].dump(),
      expected);
  EXPECT_EQ(
      asked("file:///etc/passwd", {"--allowed-media-path", folder.string()}, 400)["error"]["code"],
      "image_url_not_allowed");
}

TEST(Serve, ErrorsHaveTheirStatus) {
  const Server server(golden_flags());
  EXPECT_EQ(server.chat("{", 400)["error"]["code"], "invalid_json");
  EXPECT_EQ(server.chat(R"({"model": "other", "messages": [{"role": "user", "content": "x"}]})",
                        404)["error"]["code"],
            "model_not_found");
  const auto with_picture = [](const std::string& url) {
    return R"({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": ")" +
           url + R"("}]}]})";
  };
  EXPECT_EQ(server.chat(with_picture("http://127.0.0.1/x.png"), 400)["error"]["code"],
            "image_url_not_allowed");
  EXPECT_EQ(server.chat(with_picture("file:///etc/passwd"), 400)["error"]["code"],
            "image_url_not_allowed");
  EXPECT_EQ(server.chat(with_picture("data:image/png;base64,AAAA"), 400)["error"]["code"],
            "invalid_image");
  EXPECT_EQ(server.chat(with_picture("no picture!"), 400)["error"]["code"], "invalid_image");
  std::string words;
  for (int i = 0; i < 20'000; ++i) words += "word ";
  EXPECT_EQ(server.chat(R"({"messages": [{"role": "user", "content": ")" + words + R"("}]})",
                        400)["error"]["code"],
            "context_length_exceeded");
  EXPECT_EQ(http_get(server.port(), "/v1/chat/completions").status, 405);
  EXPECT_EQ(http_post(server.port(), "/v1/chat/completions", "{}", "Host: evil\r\n").status, 400);
  HttpClient form(server.port());
  form.send(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
      "Content-Length: 2\r\n\r\n{}");
  EXPECT_EQ(form.read_reply().value().status, 415);
  HttpClient rebound(server.port());
  rebound.send("GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n");
  EXPECT_EQ(rebound.read_reply().value().status, 403);
}

TEST(Serve, RequestsWhoseTurnDoesNotComeAreRefused) {
  const Server server(golden_flags() +
                      Strings{"--max-running-requests", "1", "--queue-timeout", "0.1"});
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(std::make_unique<HttpClient>(server.port()));
    clients.back()->send(post_bytes(
        "/v1/chat/completions",
        R"({"messages": [{"role": "user", "content": "Hi"}], "ignore_eos": true, "n": 8})"));
  }
  int num_late = 0;
  for (const auto& client : clients) {
    const HttpReply reply = client->read_reply().value();
    if (reply.status == 200) continue;
    ++num_late;
    EXPECT_EQ(reply.status, 503) << reply.body;
    EXPECT_EQ(parse_json(reply.body, "answer")["error"]["code"], "queue_timeout");
    EXPECT_GE(std::stoi(reply.headers.at("retry-after")), 1);
  }
  EXPECT_GT(num_late, 0);
  EXPECT_LT(num_late, 12);
}

TEST(Serve, AnswersThatTakeTooLongEnd) {
  const Server server(golden_flags() + Strings{"--request-timeout", "0.05"});
  const std::string body =
      R"({"messages": [{"role": "user", "content": "Hi"}], "ignore_eos": true, "n": 8})";
  EXPECT_EQ(server.chat(body, 504)["error"]["code"], "generation_timeout");
  HttpClient client(server.port());
  std::string streamed = body;
  streamed.insert(1, R"("stream": true, )");
  client.send(post_bytes("/v1/chat/completions", streamed));
  client.read_until("generation_timeout");
  client.read_until("data: [DONE]");
}

TEST(Serve, ClientsHaveTheirLimits) {
  const Server server(golden_flags() + Strings{"--rate-limit-requests", "2"});
  const std::string body = R"({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1})";
  const HttpReply first = http_post(server.port(), "/v1/chat/completions", body);
  EXPECT_EQ(first.headers.at("x-ratelimit-remaining-requests"), "1");
  EXPECT_EQ(http_post(server.port(), "/v1/chat/completions", body).status, 200);
  const HttpReply refused = http_post(server.port(), "/v1/chat/completions", body);
  EXPECT_EQ(refused.status, 429);
  EXPECT_GE(std::stoi(refused.headers.at("retry-after")), 1);
  EXPECT_EQ(parse_json(refused.body, "answer")["error"]["code"], "rate_limit_exceeded");
  const Json limits = parse_json(http_get(server.port(), "/limits").body, "limits");
  EXPECT_EQ(limits["per_minute"]["requests"], 2);
}

std::string form_of(const std::string& purpose, const std::string& content) {
  const std::string body =
      "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\n" + purpose +
      "\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n" + content +
      "\r\n--b--\r\n";
  return fmt::format(
      "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; "
      "boundary=b\r\nContent-Length: {}\r\n\r\n{}",
      body.size(), body);
}

HttpReply send_file(const Server& server, const std::string& purpose, const std::string& content) {
  HttpClient client(server.port());
  client.send(form_of(purpose, content));
  return client.read_reply().value();
}

TEST(Serve, PicturesSentAhead) {
  const std::string picture = golden_image("landscape_96x64.jpg");
  const Server server(golden_flags());
  const std::string expected = server.chat(question(picture))["choices"][0].dump();
  EXPECT_EQ(send_file(server, "vision", "no picture").status, 400);
  const HttpReply sent = send_file(server, "vision", read_file(picture, 1 << 20));
  ASSERT_EQ(sent.status, 200) << sent.body;
  const std::string id = parse_json(sent.body, "file")["id"];
  const auto ask = [&](int status) {
    OrderedJson body = OrderedJson::parse(question(picture));
    body["messages"][0]["content"][1] = {{"type", "image_file"}, {"image_file", {{"file_id", id}}}};
    return server.chat(to_text(body), status);
  };
  EXPECT_EQ(ask(200)["choices"][0].dump(), expected);
  EXPECT_EQ(http_get(server.port(), "/flush_cache").status, 200);
  // What is pinned is not flushed.
  EXPECT_GT(ask(200)["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
  EXPECT_EQ(http_get(server.port(), "/v1/files/" + id + "/content").body,
            read_file(picture, 1 << 20));
  HttpClient client(server.port());
  client.send("DELETE /v1/files/" + id + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.read_reply().value().status, 200);
  EXPECT_EQ(http_get(server.port(), "/flush_cache").status, 200);
  EXPECT_EQ(ask(404)["error"]["code"], "not_found");
  EXPECT_EQ(server.chat(question(picture))["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

TEST(Serve, Batches) {
  const std::string picture = golden_image("landscape_96x64.jpg");
  const Server server(golden_flags());
  const std::string expected = server.chat(question(picture))["choices"][0].dump();
  const std::string lines =
      R"({"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": )" +
      question(picture) +
      "}\n"
      R"({"custom_id": "two", "method": "POST", "url": "/v1/chat/completions", "body": {}})";
  const std::string file = parse_json(send_file(server, "batch", lines).body, "file")["id"];
  const HttpReply made =
      http_post(server.port(), "/v1/batches",
                R"({"endpoint": "/v1/chat/completions", "input_file_id": ")" + file + R"("})");
  ASSERT_EQ(made.status, 200) << made.body;
  const std::string id = parse_json(made.body, "batch")["id"];
  Json batch;
  do {
    batch = parse_json(http_get(server.port(), "/v1/batches/" + id).body, "batch");
  } while (batch["status"] == "in_progress");
  ASSERT_EQ(batch["status"], "completed") << batch;
  const auto content = [&](const char* kind) {
    const std::string path = "/v1/files/" + batch[kind].get<std::string>() + "/content";
    return parse_json(http_get(server.port(), path).body, kind);
  };
  EXPECT_EQ(content("output_file_id")["response"]["body"]["choices"][0].dump(), expected);
  EXPECT_EQ(content("error_file_id")["custom_id"], "two");
  EXPECT_EQ(http_get(server.port(), "/v1/batches/none").status, 404);
}

TEST(Serve, PredictionsOfCog) {
  const std::string picture = golden_image("landscape_96x64.jpg");
  const Server server(golden_flags());
  OrderedJson body;
  body["input"] = {{"image", data_url_of(picture)},
                   {"prompt", kQuestion},
                   {"temperature", 0},
                   {"max_tokens", 8}};
  const HttpReply reply = http_post(server.port(), "/predictions", to_text(body));
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Json answer = parse_json(reply.body, "answer");
  std::string text;
  for (const Json& piece : answer["output"]) text += piece.get<std::string>();
  const Json chat =
      server.chat(question(picture, R"("mm_processor_kwargs": {"image_aspect_ratio": "square"})"));
  EXPECT_EQ(text, chat["choices"][0]["message"]["content"].get<std::string>());
  EXPECT_EQ(http_post(server.port(), "/predictions", R"({"input": {"prompt": "x"}})").status, 400);
}

TEST(Serve, BearsLoad) {
  const Server server(golden_flags());
  const Json closed = server.bear_load({"--requests", "20", "--turns", "2", "--max-tokens", "4"});
  EXPECT_EQ(closed["ok"], 40);
  EXPECT_EQ(closed["completion_tokens"], 160);
  EXPECT_EQ(closed["errors"], Json::object());
  EXPECT_GT(closed["cached_tokens"], 0);
  const Json open = server.bear_load(
      {"--requests", "20", "--rate", "200", "--abort-ratio", "0.5", "--max-tokens", "4"});
  EXPECT_EQ(open["requests"], 20);
  EXPECT_EQ(open["ok"].get<int>() + open["broken_off"].get<int>(), 20);
  EXPECT_GT(open["broken_off"], 0);
}

TEST(Serve, Administrators) {
  const fs::path keys = fs::path(::testing::TempDir()) / "llava_admin_keys";
  // SHA-256 of "root".
  write_file_atomically(keys,
                        "admin:4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2\n");
  Server server(golden_flags() + Strings{"--admin-key-file", keys.string()});
  const std::string key = "Authorization: Bearer root\r\n";
  EXPECT_EQ(http_post(server.port(), "/admin/drain", "{}").status, 401);
  EXPECT_EQ(http_get(server.port(), "/health_generate").status, 200);
  HttpClient client(server.port());
  client.send(post_bytes("/v1/chat/completions",
                         R"({"messages": [{"role": "user", "content": "Hi"}], "stream": true,
                             "ignore_eos": true, "n": 8})",
                         "X-Request-Id: mine\r\n"));
  client.read_until("data: ");
  const HttpReply aborted =
      http_post(server.port(), "/admin/abort", R"({"request_id": "mine"})", key);
  EXPECT_EQ(aborted.body, R"({"aborted":1})");
  client.read_until("[DONE]");
  EXPECT_EQ(http_post(server.port(), "/abort_request", R"({"rid": "mine"})").body,
            R"({"aborted":0})");
  EXPECT_EQ(http_post(server.port(), "/admin/drain", "{}", key).status, 202);
  EXPECT_EQ(server.process().finish().status, 0);
  fs::remove(keys);
}

TEST(Serve, KeysModelsAndHealth) {
  const Server server(golden_flags() + std::vector<std::string>{"--api-key", "secret",
                                                                "--served-model-name", "org/name"});
  EXPECT_EQ(http_get(server.port(), "/v1/models").status, 401);
  const std::string key = "Authorization: Bearer secret\r\n";
  const Json models = parse_json(http_get(server.port(), "/v1/models", key).body, "models");
  EXPECT_EQ(models["data"][0]["id"], "org/name");
  EXPECT_EQ(http_get(server.port(), "/v1/models/org/name", key).status, 200);
  EXPECT_EQ(http_get(server.port(), "/v1/models/org%2Fname", key).status, 200);
  EXPECT_EQ(http_get(server.port(), "/v1/models/other", key).status, 404);
  EXPECT_EQ(http_get(server.port(), "/health").body, R"({"status":"ok"})");
}

TEST(Serve, SchemasHold) {
  const Server server(golden_flags());
  const Json answer =
      server.chat(R"({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 60,
      "response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": true,
      "schema": {"type": "object", "properties": {"a": {"enum": ["u", "v"]}}, "required": ["a"],
                 "additionalProperties": false}}}})");
  const Json& choice = answer["choices"][0];
  ASSERT_EQ(choice["finish_reason"], "stop") << answer;
  const Json made = parse_json(choice["message"]["content"].get<std::string>(), "answer");
  EXPECT_TRUE(made["a"] == "u" || made["a"] == "v");
  EXPECT_EQ(server.chat(R"({"messages": [{"role": "user", "content": "Hi"}],
      "guided_json": {"type": "nonsense"}})",
                        400)["error"]["code"],
            "invalid_schema");
}

TEST(Serve, TerminationLetsRunningAnswersEnd) {
  Server server(golden_flags());
  HttpClient client(server.port());
  client.send(post_bytes("/v1/chat/completions",
                         R"({"messages": [{"role": "user", "content": "Hi"}], "stream": true,
                             "ignore_eos": true, "max_tokens": 300})"));
  client.read_until("data: ");
  server.process().send_signal(SIGTERM);
  client.read_until("[DONE]");
  const ProcessResult result = server.process().finish();
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_FALSE(result.has_timed_out);
}

TEST(Serve, AnInterruptEndsItInTheMiddleOfAnswers) {
  Server server(golden_flags());
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(std::make_unique<HttpClient>(server.port()));
    clients.back()->send(post_bytes(
        "/v1/chat/completions",
        R"({"messages": [{"role": "user", "content": "Hi"}], "stream": true, "ignore_eos": true})"));
    clients.back()->read_until("data: ");
  }
  server.process().send_signal(SIGINT);
  const ProcessResult result = server.process().finish();
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_FALSE(result.has_timed_out);
}

TEST(Serve, AnEngineThatHangsFailsItsHealthChecks) {
  // No step is as short as that.
  const Server server(golden_flags() + Strings{"--watchdog-timeout", "0.00001"});
  const auto status = [&](const std::string& path) { return http_get(server.port(), path).status; };
  EXPECT_EQ(status("/health/live"), 200);
  for (const char* path : {"/health/live", "/health/ready", "/health"}) {
    HttpClient client(server.port());
    client.send(post_bytes("/v1/chat/completions",
                           R"({"messages": [{"role": "user", "content": "Hi"}], "stream": true,
                               "ignore_eos": true, "n": 4, "max_tokens": 900})"));
    client.read_until("data: ");
    int num_failed = 0;
    for (int i = 0; i < 1000 && num_failed == 0; ++i) num_failed += status(path) == 503 ? 1 : 0;
    EXPECT_GT(num_failed, 0) << path;
    client.read_until("data: [DONE]\n\n");
    while (status(path) != 200) {
    }
  }
}

TEST(Serve, TheLogIsWhatItsFlagsSay) {
  Server server(golden_flags() + Strings{"--log-level", "info", "--log-format", "json"});
  EXPECT_EQ(http_get(server.port(), "/v1/models", "X-Request-Id: mine\r\n").status, 200);
  server.process().send_signal(SIGTERM);
  const std::string log = server.process().finish().err;
  const std::size_t at = log.find("\"event\":\"request\"");
  ASSERT_NE(at, std::string::npos) << log;
  const std::size_t begin = log.rfind('\n', at) + 1;
  const Json line = parse_json(log.substr(begin, log.find('\n', at) - begin), "log");
  EXPECT_EQ(line["id"], "mine");
  EXPECT_EQ(line["route"], "/v1/models");
  EXPECT_TRUE(line.contains("time"));
  const ProcessResult wrong =
      run_llava(Strings{"serve"} + golden_flags() + Strings{"--log-level", "loud"});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_NE(wrong.err.find("--log-level is loud"), std::string::npos) << wrong.err;
}

TEST(Serve, ClientsThatLeaveEndTheirRequests) {
  const Server server(golden_flags());
  const auto gauge = [&](const std::string& name) {
    const std::string metrics = http_get(server.port(), "/metrics").body;
    const std::size_t at = metrics.find("\n" + name + "{");
    EXPECT_NE(at, std::string::npos) << name;
    return std::stod(metrics.substr(metrics.find("} ", at) + 2));
  };
  const auto num_aborted = [&] {
    const std::string metrics = http_get(server.port(), "/metrics").body;
    const std::size_t at = metrics.find("reason=\"abort\"} ");
    return at == std::string::npos ? 0 : std::stoi(metrics.substr(metrics.find("} ", at) + 2));
  };
  int num_wanted = 0;
  for (const bool is_streamed : {true, false}) {
    ++num_wanted;
    // Again, should an answer ever be done before the client has left.
    for (int round = 0; round < 20 && num_aborted() < num_wanted; ++round) {
      HttpClient client(server.port());
      client.send(post_bytes("/v1/chat/completions",
                             fmt::format(R"({{"messages": [{{"role": "user", "content": "Hi"}}],
                                             "stream": {}, "ignore_eos": true, "n": 4}})",
                                         is_streamed)));
      for (int i = 0; i < 1000 && gauge("llava_requests_running") == 0; ++i) {
      }
      client.close();
      while (gauge("llava_requests_running") > 0) {
      }
    }
    EXPECT_EQ(num_aborted(), num_wanted);
    EXPECT_EQ(gauge("llava_kv_tokens_used"), 0);
  }
}

TEST(Serve, ThePortThatIsTakenIsNamed) {
  const Server server(golden_flags());
  const ProcessResult result = run_llava(
      std::vector<std::string>{"serve", "--port", std::to_string(server.port())} + golden_flags());
  EXPECT_EQ(result.status, 4);
  EXPECT_NE(result.err.find(std::to_string(server.port())), std::string::npos) << result.err;
}

}  // namespace
}  // namespace llava::testing
