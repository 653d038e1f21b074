// SPDX-License-Identifier: Apache-2.0
//
// `llava api` in front of a controller and a worker.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "data_url.h"
#include "program.h"
#include "server_process.h"
#include "support/http_client.h"

namespace llava::testing {
namespace {

using Strings = std::vector<std::string>;

const char* const kModel = "llava-v1.5-pad";

class Gateway : public ::testing::Test {
 protected:
  Gateway() {
    while (http_get(gateway_.port(), "/v1/models/" + std::string(kModel)).status != 200) {
    }
  }

  static std::string chat(const std::string& members) {
    return fmt::format(
        R"({{"model": "{}", "messages": [{{"role": "user", "content": "Hi"}}], "temperature": 0, {}}})",
        kModel, members);
  }

  /// A number of the worker's metrics.
  double gauge(const std::string& name) const {
    const std::string metrics = http_get(worker_.port(), "/metrics").body;
    const std::size_t at = metrics.find("\n" + name + "{");
    EXPECT_NE(at, std::string::npos) << name;
    return std::stod(metrics.substr(metrics.find("} ", at) + 2));
  }

  ServerProcess controller_{{"controller", "--host", "127.0.0.1", "--port", "0"}};
  ServerProcess worker_{{"worker", "--host", "127.0.0.1", "--port", "0", "--drain-delay", "0",
                         "--dtype", "float32", "--model-path", golden_model(kModel),
                         "--controller-address", controller_.address()}};
  ServerProcess gateway_{{"api", "--host", "127.0.0.1", "--port", "0", "--drain-delay", "0",
                          "--controller-address", controller_.address()}};
};

TEST_F(Gateway, AnswersAreTheWorkers) {
  const std::string body = chat(R"("max_tokens": 6)");
  const auto ask = [&](const ServerProcess& server) {
    return parse_json(http_post(server.port(), "/v1/chat/completions", body).body, "answer");
  };
  const Json direct = ask(worker_);
  const Json proxied = ask(gateway_);
  EXPECT_EQ(proxied["choices"], direct["choices"]);
  EXPECT_EQ(proxied["usage"]["completion_tokens"], 6);
  const HttpReply stream = http_post(gateway_.port(), "/v1/chat/completions",
                                     chat(R"("max_tokens": 6, "stream": true)"));
  EXPECT_EQ(stream.headers.at("content-type"), "text/event-stream; charset=utf-8");
  EXPECT_TRUE(stream.body.ends_with("data: [DONE]\n\n")) << stream.body;
  EXPECT_EQ(http_get(gateway_.port(), "/v1/models/" + std::string(kModel)).body,
            http_get(worker_.port(), "/v1/models/" + std::string(kModel)).body);
  EXPECT_EQ(http_get(gateway_.port(), "/v1/models/other").status, 404);
  const std::string wrong = chat(R"("temperature": 9)");
  EXPECT_EQ(http_post(gateway_.port(), "/v1/chat/completions", wrong).body,
            http_post(worker_.port(), "/v1/chat/completions", wrong).body);
  const std::string prompt = fmt::format(R"({{"model": "{}", "prompt": "One two"}})", kModel);
  EXPECT_EQ(http_post(gateway_.port(), "/tokenize", prompt).body,
            http_post(worker_.port(), "/tokenize", prompt).body);
}

TEST_F(Gateway, WhereAnAnswerLookedIsTheWorkersToSay) {
  const Json body{{"model", kModel},
                  {"messages",
                   {{{"role", "user"},
                     {"content",
                      {{{"type", "image_url"},
                        {"image_url", {{"url", data_url_of(golden_image("square_28x28.png"))}}}}}}},
                    {{"role", "assistant"}, {"content", "A square."}}}}};
  const auto look = [&](const ServerProcess& server) {
    const HttpReply reply = http_post(server.port(), "/v1/attention", body.dump());
    EXPECT_EQ(reply.status, 200) << reply.body;
    return parse_json(reply.body, "answer");
  };
  const Json direct = look(worker_);
  const Json proxied = look(gateway_);
  EXPECT_EQ(proxied["tokens"], direct["tokens"]);
  EXPECT_EQ(proxied["images"], direct["images"]);
}

TEST_F(Gateway, AClientThatLeavesEndsTheAnswer) {
  HttpClient client(gateway_.port());
  client.send(post_bytes("/v1/chat/completions",
                         chat(R"("stream": true, "ignore_eos": true, "max_tokens": 900)")));
  client.read_until("data: ");
  client.close();
  while (gauge("llava_requests_running") > 0) {
  }
  EXPECT_EQ(gauge("llava_kv_tokens_used"), 0);
}

TEST_F(Gateway, AWorkerThatIsKilledEndsItsStreams) {
  HttpClient client(gateway_.port());
  client.send(post_bytes("/v1/chat/completions",
                         chat(R"("stream": true, "ignore_eos": true, "max_tokens": 900, "n": 8)")));
  client.read_until("data: ");
  worker_.process().send_signal(SIGKILL);
  worker_.process().finish();
  // Whether it was done before it was killed or not, the stream has its end.
  client.read_until("data: [DONE]\n\n");
  EXPECT_EQ(http_post(gateway_.port(), "/v1/chat/completions", chat(R"("max_tokens": 1)")).status,
            502);
}

TEST_F(Gateway, TerminationLetsAnswersEnd) {
  HttpClient client(gateway_.port());
  client.send(post_bytes("/v1/chat/completions",
                         chat(R"("stream": true, "ignore_eos": true, "max_tokens": 300)")));
  client.read_until("data: ");
  gateway_.process().send_signal(SIGTERM);
  client.read_until("data: [DONE]\n\n");
  EXPECT_EQ(gateway_.process().finish().status, 0);
}

}  // namespace
}  // namespace llava::testing
