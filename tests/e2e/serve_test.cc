// SPDX-License-Identifier: Apache-2.0
//
// `llava serve` as its clients meet it.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "program.h"
#include "server_process.h"
#include "support/http_client.h"

namespace llava::testing {
namespace {

using Strings = std::vector<std::string>;

const char* const kModel = "llava-v1.5-pad";
const char* const kQuestion = "What is shown?";

std::string data_url_of(const std::string& path) {
  const ProcessResult result = run_process({.arguments = {"/usr/bin/base64", "-w0", path}});
  EXPECT_EQ(result.status, 0);
  return "data:image/png;base64," + result.out;
}

class Server : public ServerProcess {
 public:
  explicit Server(const Strings& flags)
      : ServerProcess(Strings{"serve", "--port", "0", "--drain-delay", "0"} + flags) {}

  Json chat(const std::string& body, int status = 200) const {
    const HttpReply reply = http_post(port(), "/v1/chat/completions", body);
    EXPECT_EQ(reply.status, status) << reply.body;
    return parse_json(reply.body, "answer");
  }
};

std::vector<std::string> golden_flags() {
  return {"--model-path", golden_model(kModel), "--dtype", "float32", "--image-order", "first"};
}

/// The body of a greedy question about a picture.
std::string question(const std::string& picture, const std::string& members = {}) {
  OrderedJson body;
  body["messages"] = OrderedJson::array(
      {{{"role", "user"},
        {"content",
         {{{"type", "text"}, {"text", kQuestion}},
          {{"type", "image_url"}, {"image_url", {{"url", data_url_of(picture)}}}}}}}});
  body["temperature"] = 0;
  body["max_tokens"] = 8;
  std::string text = to_text(body);
  if (!members.empty()) text.insert(text.size() - 1, ", " + members);
  return text;
}

/// The events of a stream, without the last one; it must be [DONE], once.
std::vector<Json> events_of(const std::string& body) {
  std::vector<Json> events;
  bool is_done = false;
  for (std::string_view rest = body; !rest.empty();) {
    const std::size_t end = rest.find("\n\n");
    EXPECT_TRUE(rest.starts_with("data: ")) << rest;
    EXPECT_FALSE(is_done);
    const std::string_view data = rest.substr(6, end - 6);
    is_done = data == "[DONE]";
    if (!is_done) events.push_back(parse_json(data, "event"));
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 2);
  }
  EXPECT_TRUE(is_done);
  return events;
}

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
