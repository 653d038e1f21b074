// SPDX-License-Identifier: Apache-2.0
//
// `llava gradio-web-server` in front of a controller and a worker.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>

#include <fstream>

#include "program.h"
#include "server_process.h"
#include "support/http_client.h"
#include "support/loopback_server.h"
#include "support/temporary_folder.h"

namespace llava::testing {
namespace {

using ::testing::HasSubstr;
using Strings = std::vector<std::string>;

const char* const kModel = "llava-v1.5-pad";

Strings page_flags(const std::string& controller) {
  return {"gradio-web-server", "--host", "127.0.0.1",    "--port",  "0",
          "--drain-delay",     "0",      "--controller", controller};
}

class GradioWebServer : public TemporaryFolder {
 protected:
  static std::string chat(const std::string& text, const std::string& members) {
    return fmt::format(
        R"({{"model": "{}", "messages": [{{"role": "user", "content": "{}"}}], "temperature": 0, {}}})",
        kModel, text, members);
  }
};

TEST_F(GradioWebServer, ThePageAndItsAnswersAndVotes) {
  const ServerProcess controller({"controller", "--host", "127.0.0.1", "--port", "0"});
  const ServerProcess worker({"worker", "--host", "127.0.0.1", "--port", "0", "--drain-delay", "0",
                              "--dtype", "float32", "--model-path", golden_model(kModel),
                              "--controller-address", controller.address()});
  ServerProcess page(page_flags(controller.address()) +
                     Strings{"--log-dir", folder_ / "log", "--embed", "--model_list_mode=reload"});
  // The worker registers when it has loaded its model.
  while (http_get(page.port(), "/v1/models/" + std::string(kModel)).status != 200) {
  }
  EXPECT_EQ(http_get(page.port(), "/").status, http_get(worker.port(), "/").status == 404 ? 200 : 0)
      << "the page is the web server's, not the worker's";
  const Json config = parse_json(http_get(page.port(), "/web/config").body, "config");
  EXPECT_TRUE(config["embed"].get<bool>() && config["keeps_log"].get<bool>());
  // The original's page cuts texts here.
  EXPECT_EQ(config["max_text_length"], 1536);
  EXPECT_EQ(config["max_picture_text_length"], 1200);
  const Json capabilities =
      parse_json(http_get(page.port(), "/v1/models/" + std::string(kModel)).body, "model");
  EXPECT_EQ(capabilities["capabilities"]["vision"], true);

  const std::string body = chat("Hi", R"("max_tokens": 6)");
  const Json asked = parse_json(http_post(page.port(), "/v1/chat/completions", body).body, "page");
  const Json direct =
      parse_json(http_post(worker.port(), "/v1/chat/completions", body).body, "worker");
  EXPECT_EQ(asked["choices"], direct["choices"]);
  const HttpReply stream = http_post(page.port(), "/v1/chat/completions",
                                     chat("Hi", R"("max_tokens": 6, "stream": true)"));
  EXPECT_TRUE(stream.body.ends_with("data: [DONE]\n\n")) << stream.body;

  const std::string vote = fmt::format(
      R"({{"type": "upvote", "requests": [{{"model": "{}", "messages":
          [{{"role": "user", "content": "Hi"}}, {{"role": "assistant", "content": "Ho"}}]}}]}})",
      kModel);
  EXPECT_EQ(http_post(page.port(), "/web/log", vote).status, 204);
  Strings lines;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "log")) {
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) lines.push_back(line);
  }
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr(R"("type": "upvote", "model": "llava-v1.5-pad", "state": )"
                                  R"({"system": "A chat between a curious human)"));
  EXPECT_THAT(lines[0], HasSubstr(R"("roles": ["USER", "ASSISTANT"])"));

  EXPECT_THAT(http_get(page.port(), "/metrics").body, HasSubstr("llava_requests_running 0"));
  page.process().send_signal(SIGTERM);
  EXPECT_EQ(page.process().finish().status, 0);
}

TEST_F(GradioWebServer, TheModerationServiceIsAsked) {
  const LoopbackServer service([](const std::string&) {
    return http_answer("200 OK", R"({"results": [{"flagged": true}]})");
  });
  ServerProcess page(page_flags("http://127.0.0.1:1") +
                     Strings{"--moderate", "--moderation-url", service.address("/v1/moderations")});
  const HttpReply flagged = http_post(page.port(), "/web/chat", chat("Hi", R"("max_tokens": 1)"));
  EXPECT_EQ(flagged.status, 400);
  EXPECT_THAT(flagged.body, HasSubstr("content_moderated"));
  EXPECT_EQ(http_post(page.port(), "/v1/chat/completions", chat("Hi", R"("max_tokens": 1)")).status,
            503)
      << "the API is not moderated, and there is no controller";
  EXPECT_THAT(http_get(page.port(), "/metrics").body,
              HasSubstr("llava_moderation_total{result=\"flagged\"} 1"));
}

TEST_F(GradioWebServer, WhatCannotWorkIsSaidAtTheStart) {
  const auto error = [](const Strings& flags, int status) {
    ProcessRequest request = program_request(page_flags("http://127.0.0.1:1") + flags);
    request.environment["OPENAI_API_KEY"] = "";
    const ProcessResult result = run_process(request);
    EXPECT_EQ(result.status, status) << result.err;
    return result.err;
  };
  EXPECT_THAT(error({"--share"}, 2), HasSubstr("there is no hosted tunnel"));
  EXPECT_THAT(error({"--share"}, 2), HasSubstr("localhost:{port} host.example"));
  EXPECT_THAT(error({"--share", "--share-command", "no-such-program x"}, 3),
              HasSubstr("no-such-program"));
  EXPECT_THAT(error({"--moderate"}, 2), HasSubstr("OPENAI_API_KEY"));
  EXPECT_THAT(error({"--model-list-mode", "once"}, 4), HasSubstr("no controller answers"));
  EXPECT_THAT(error({"--model-list-mode", "twice"}, 2), HasSubstr("one of once reload"));
  EXPECT_THAT(error({"--con", "x"}, 2), HasSubstr("ambiguous"));
  EXPECT_THAT(error({"--concurrency-count", "0"}, 2), HasSubstr("--concurrency-count"));
}

TEST_F(GradioWebServer, ASharedPageHasItsProgram) {
  const std::filesystem::path said = folder_ / "said";
  const std::filesystem::path program =
      write("tunnel", fmt::format("#!/bin/sh\ntrap 'echo ended >> {0}; exit 0' TERM\n"
                                  "echo \"$1 $2\" > {0}.part\nmv {0}.part {0}\n"
                                  "while :; do sleep 0.05; done\n",
                                  said.string()));
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  ServerProcess page(page_flags("http://127.0.0.1:1") +
                     Strings{"--share", "--share-command",
                             fmt::format("{} {{address}} p={{port}}", program.string())});
  while (!std::filesystem::exists(said)) {
  }
  EXPECT_EQ(read_text(said), fmt::format("{} p={}\n", page.address(), page.port()));
  page.process().send_signal(SIGINT);
  EXPECT_EQ(page.process().finish().status, 0);
  EXPECT_THAT(read_text(said), HasSubstr("ended"));
}

TEST_F(GradioWebServer, WithoutAPortTheFirstFreeOneIsTaken) {
  const auto start = [](const std::string& port_flag) {
    Strings flags = {"gradio-web-server", "--host", "127.0.0.1", "--controller",
                     "http://127.0.0.1:1"};
    if (!port_flag.empty()) flags.push_back(port_flag);
    return flags;
  };
  const ServerProcess first(start(""));
  const ServerProcess second(start(""));
  EXPECT_GE(first.port(), 7860);
  EXPECT_LE(second.port(), 7959);
  EXPECT_GT(second.port(), first.port());
  const ProcessResult taken = run_llava(start(fmt::format("--port={}", first.port())));
  EXPECT_EQ(taken.status, 4);
  EXPECT_THAT(taken.err, HasSubstr(fmt::format("127.0.0.1:{}", first.port())));
}

}  // namespace
}  // namespace llava::testing
