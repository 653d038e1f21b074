// SPDX-License-Identifier: Apache-2.0
//
// Flags of `llava serve` that change what it answers.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "checkpoint_copy.h"
#include "program.h"
#include "server_process.h"
#include "support/http_client.h"

namespace llava::testing {
namespace {

using Strings = std::vector<std::string>;

const char* const kPath = "/v1/chat/completions";

class ServeFlags : public CheckpointCopy {
 protected:
  void start(const Strings& flags, const std::string& model = golden_model("llava-v1.5-pad")) {
    server_.emplace(Strings{"serve", "--no-web", "--port", "0", "--drain-delay", "0",
                            "--model-path", model, "--dtype", "float32"} +
                    flags);
  }

  HttpReply ask(const std::string& members) const {
    return http_post(server_->port(), kPath,
                     R"({"messages": [{"role": "user", "content": "Hi"}])" + members + "}");
  }
  Json answer(const std::string& members, int status = 200) const {
    const HttpReply reply = ask(members);
    EXPECT_EQ(reply.status, status) << reply.body;
    return parse_json(reply.body, "answer");
  }
  std::string text(const std::string& members) const {
    return answer(members)["choices"][0]["message"]["content"];
  }

  std::optional<ServerProcess> server_;
};

TEST_F(ServeFlags, StrictParamsAndMaxTokens) {
  start({"--strict-params", "--max-tokens-policy", "reject"});
  const Json unknown = answer(R"(, "max_tokens": 1, "temprature": 1)", 400)["error"];
  EXPECT_EQ(unknown["code"], "unknown_parameter");
  EXPECT_EQ(unknown["param"], "temprature");
  const Json greedy = answer(R"(, "max_tokens": 1000000)", 400)["error"];
  EXPECT_EQ(greedy["code"], "invalid_value");
  EXPECT_EQ(greedy["param"], "max_tokens");
  EXPECT_EQ(answer(R"(, "max_tokens": 1)")["usage"]["completion_tokens"], 1);

  start({});
  EXPECT_EQ(answer(R"(, "max_tokens": 1, "temprature": 1)")["usage"]["completion_tokens"], 1);
  EXPECT_EQ(answer(R"(, "max_tokens": 1000000, "stop": ["a", "e"])")["object"], "chat.completion");
}

// Asks eight different questions at once, and again, and returns the answers.
std::vector<std::string> ask_many(int port) {
  std::vector<std::string> answers(16);
  for (std::size_t round = 0; round < 2; ++round) {
    std::vector<std::jthread> clients;
    for (std::size_t i = 0; i < 8; ++i) {
      clients.emplace_back([&answers, port, round, i] {
        const HttpReply reply = http_post(
            port, kPath,
            fmt::format(R"({{"messages": [{{"role": "user", "content": "Question {0} of many, )"
                        R"(to which the answer is {0}{0}{0}?"}}], "max_tokens": 24, )"
                        R"("temperature": 0, "logprobs": true}})",
                        i));
        EXPECT_EQ(reply.status, 200) << reply.body;
        const Json answer = parse_json(reply.body, "answer");
        answers[round * 8 + i] = answer["choices"].dump();
      });
    }
  }
  return answers;
}

TEST_F(ServeFlags, ReplicasAnswerAsOne) {
  start({});
  const std::vector<std::string> expected = ask_many(server_->port());
  start({"--dp", "2", "--max-queued-requests", "8"});
  EXPECT_EQ(ask_many(server_->port()), expected);
  const std::string metrics = http_get(server_->port(), "/metrics").body;
  EXPECT_NE(
      metrics.find("\nllava_time_to_first_token_seconds_count{model=\"llava-v1.5-pad\"} 16\n"),
      std::string::npos)
      << metrics;
}

TEST_F(ServeFlags, ReplicasThatCannotBe) {
  const auto refusal = [](const Strings& flags) {
    const ProcessResult result =
        run_llava(Strings{"serve", "--model-path", golden_model("llava-v1.5-pad")} + flags);
    EXPECT_EQ(result.status, 3) << result.err;
    return result.err;
  };
  const std::string both = refusal({"--dp", "2", "--tp", "2"});
  EXPECT_NE(both.find("llava worker --tp 2"), std::string::npos) << both;
  const std::string torch = refusal({"--data-parallel-size", "2", "--device", "cuda"});
  EXPECT_NE(torch.find("--device 'cuda'"), std::string::npos) << torch;
}

TEST_F(ServeFlags, ChatTemplateOfAFileOrAText) {
  const auto prompt_tokens = [this](const Strings& flags) {
    start(flags);
    return answer(R"(, "max_tokens": 1)")["usage"]["prompt_tokens"].get<int>();
  };
  const std::string bare = "{% for message in messages %}{{ message['content'] }}{% endfor %}";
  const std::filesystem::path file = folder_ / "bare.jinja";
  std::ofstream(file) << bare;
  const int expected = prompt_tokens({"--chat-template", bare});
  EXPECT_EQ(prompt_tokens({"--chat-template", file.string()}), expected);
  EXPECT_GT(prompt_tokens({}), expected);
  const ProcessResult both = run_llava({"serve", "--model-path", golden_model("llava-v1.5-pad"),
                                        "--chat-template", bare, "--conv-mode", "llava_v1"});
  EXPECT_EQ(both.status, 2) << both.err;
}

TEST_F(ServeFlags, Deterministic) {
  start({"--deterministic"});
  EXPECT_EQ(answer(R"(, "max_tokens": 1)")["usage"]["completion_tokens"], 1);
  const ProcessResult torch = run_llava({"serve", "--model-path", golden_model("llava-v1.5-pad"),
                                         "--deterministic", "--backend", "torch"});
  EXPECT_EQ(torch.status, 3) << torch.err;
  EXPECT_NE(torch.err.find("--deterministic needs the native backend"), std::string::npos)
      << torch.err;
}

TEST_F(ServeFlags, ToolsArePassedOver) {
  const std::string tools = R"(, "max_tokens": 1, "tools": [{"type": "function"}])";
  start({});
  const std::string words = answer(tools, 400)["error"]["message"];
  EXPECT_NE(words.find("--tools-policy ignore"), std::string::npos) << words;
  start({"--tools-policy", "ignore", "--strict-params"});
  EXPECT_EQ(answer(tools)["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(answer(tools + R"(, "tool_choice": "required")", 400)["error"]["param"], "tool_choice");
}

TEST_F(ServeFlags, FlatErrors) {
  start({"--error-style", "flat"});
  const Json error = answer(R"(, "max_tokens": -1)", 400);
  EXPECT_EQ(error["object"], "error");
  EXPECT_EQ(error["code"], 400);
  EXPECT_EQ(error["param"], "max_tokens");
}

TEST_F(ServeFlags, WhatIsSaidIsLoggedWhereToldSo) {
  const std::filesystem::path log = folder_ / "requests.jsonl", logs = folder_ / "logs";
  for (const bool has_content : {false, true}) {
    Strings flags{"--request-log", log.string(), "--log-dir", logs.string(), "--log-level", "info"};
    if (has_content) flags.push_back("--log-content");
    start(flags);
    const std::string said = text(R"(, "max_tokens": 4, "temperature": 0)");
    // It is written when the exchange has ended, a moment after the answer is there.
    server_->process().send_signal(SIGTERM);
    EXPECT_EQ(server_->process().finish().status, 0);
    std::ifstream lines(log);
    std::string line, last;
    while (std::getline(lines, line)) last = line;
    const Json record = parse_json(last, "line");
    EXPECT_EQ(record.contains("answer"), has_content) << last;
    if (!has_content) continue;
    EXPECT_EQ(record["answer"], said);
    EXPECT_NE(record["prompt"].get<std::string>().find("Hi"), std::string::npos) << last;
  }
  std::ifstream process(logs / "serve.log");
  const std::string text{std::istreambuf_iterator<char>(process), {}};
  EXPECT_NE(text.find(" | INFO | llava | request id="), std::string::npos) << text;
  EXPECT_EQ(text.find("Hi"), std::string::npos) << text;
}

// More than the system's buffers and 1 MiB: who asks for it and does not read is cut off, and
// counted.
TEST_F(ServeFlags, WhoReadsTooSlowlyIsCounted) {
  start({});
  HttpClient client(server_->port());
  client.send(post_bytes(kPath, R"({"messages": [{"role": "user", "content": "Hi"}], "stream": true,
      "n": 8, "max_tokens": 1500, "ignore_eos": true, "logprobs": true, "top_logprobs": 20})"));
  const std::string counted =
      R"(llava_requests_finished_total{model="llava-v1.5-pad",reason="slow_client"} 1)";
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  std::string metrics;
  while (std::chrono::steady_clock::now() < end && metrics.find(counted) == std::string::npos) {
    metrics = http_get(server_->port(), "/metrics").body;
  }
  EXPECT_NE(metrics.find(counted), std::string::npos) << metrics;
  EXPECT_EQ(metrics.find(R"(reason="abort")"), std::string::npos);
}

TEST_F(ServeFlags, SamplingDefaultsOfTheCheckpoint) {
  const auto model = copy("llava-v1.5-pad");
  edit(model / "generation_config.json",
       [](const std::string&) { return R"({"do_sample": true, "top_k": 1})"; });
  start({"--sampling-defaults", "model"}, model.string());
  const std::string greedy = text(R"(, "max_tokens": 12, "temperature": 0)");
  for (int seed = 1; seed <= 4; ++seed) {
    EXPECT_EQ(text(fmt::format(R"(, "max_tokens": 12, "temperature": 2, "seed": {})", seed)),
              greedy);
  }
  // What a request says goes first.
  EXPECT_NE(text(R"(, "max_tokens": 12, "temperature": 2, "seed": 1, "top_k": 0)"), greedy);
  start({}, model.string());
  EXPECT_NE(text(R"(, "max_tokens": 12, "temperature": 2, "seed": 1)"), greedy);
}

TEST_F(ServeFlags, EarlyHeadersMakeFailuresEvents) {
  start({"--early-headers"});
  const HttpReply reply = ask(R"(, "max_tokens": 2, "stream": true)");
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.body.starts_with(": ping\n\ndata: {")) << reply.body;
  EXPECT_TRUE(reply.body.ends_with("data: [DONE]\n\n")) << reply.body;
  // What is wrong with a request itself is known before it is queued.
  EXPECT_EQ(ask(R"(, "max_tokens": 0, "stream": true)").status, 400);
}

TEST_F(ServeFlags, NothingOfTheOriginalsProtocol) {
  start({"--no-legacy-endpoints"});
  EXPECT_EQ(http_post(server_->port(), "/worker_get_status", "").status, 404);
  EXPECT_EQ(http_post(server_->port(), "/worker_generate_stream", "{}").status, 404);
  EXPECT_EQ(answer(R"(, "max_tokens": 1)")["usage"]["completion_tokens"], 1);
}

TEST_F(ServeFlags, MetricsBehindAKeyOfTheirOwn) {
  start({"--api-key", "client", "--metrics-key", "scraper"});
  const auto status = [&](const std::string& key) {
    return http_get(server_->port(), "/metrics", "Authorization: Bearer " + key + "\r\n").status;
  };
  EXPECT_EQ(status("scraper"), 200);
  EXPECT_EQ(status("client"), 401);
  EXPECT_EQ(http_get(server_->port(), "/metrics").status, 401);
}

TEST_F(ServeFlags, MetricsOnAPortOfTheirOwn) {
  start({"--metrics-port", "0"});
  EXPECT_EQ(http_get(server_->port(), "/metrics").status, 404);
  // Said before the address of the server itself, on standard error.
  const std::string& log = server_->process().errors();
  const std::string before = "metrics on http://127.0.0.1:";
  const std::size_t at = log.find(before);
  ASSERT_NE(at, std::string::npos) << log;
  const int port = std::stoi(log.substr(at + before.size()));
  const HttpReply metrics = http_get(port, "/metrics");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_NE(metrics.body.find("\nllava_kv_tokens_total{"), std::string::npos) << metrics.body;
  EXPECT_EQ(http_get(port, "/v1/models").status, 404);
}

}  // namespace
}  // namespace llava::testing
