// SPDX-License-Identifier: Apache-2.0
//
// `llava sglang-worker` between a controller and our own server, which speaks both protocols.
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

std::string body_of(const std::string& picture) {
  const ProcessResult encoded = run_process({.arguments = {"/usr/bin/base64", "-w0", picture}});
  OrderedJson body = {{"model", kModel}, {"prompt", "USER: <image>\nWhat is shown? ASSISTANT:"}};
  body["images"] = {encoded.out};
  body["temperature"] = 0;
  body["max_new_tokens"] = 12;
  body["stop"] = "</s>";
  return to_text(body);
}

/// The last record of a stream.
Json last_record(const HttpReply& reply) {
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.body.ends_with('\0')) << reply.body;
  const std::string records = reply.body.substr(0, reply.body.size() - 1);
  return parse_json(records.substr(records.rfind('\0') + 1), "record");
}

TEST(SglangWorker, StandsForItsServer) {
  const ServerProcess server(
      {"serve", "--port", "0", "--model-path", golden_model(kModel), "--dtype", "float32"});
  ServerProcess controller({"controller", "--host", "127.0.0.1", "--port", "0"});
  ServerProcess worker({"sglang-worker", "--host", "127.0.0.1", "--port", "0", "--drain-delay", "0",
                        "--sgl-endpoint", server.address() + "/", "--controller",
                        controller.address()});
  const std::string models = fmt::format(R"({{"models":["{}"]}})", kModel);
  while (http_post(controller.port(), "/list_models", "{}").body != models) {
  }
  const std::string body = body_of(golden_image("wide_150x13.png"));
  const Json direct = last_record(http_post(server.port(), "/worker_generate_stream", body));
  const Json relayed = last_record(http_post(controller.port(), "/worker_generate_stream", body));
  EXPECT_EQ(relayed, direct);
  EXPECT_GT(relayed["text"].get<std::string>().size(), 50u);
  EXPECT_EQ(http_get(worker.port(), "/health").body, R"({"status":"ok"})");
  EXPECT_EQ(
      run_llava({"test-message", "--worker", worker.address(), "--max-new-tokens", "4"}).status, 0);
  worker.process().send_signal(SIGTERM);
  EXPECT_EQ(worker.process().finish().status, 0);
  EXPECT_EQ(http_post(controller.port(), "/list_models", "{}").body, R"({"models":[]})");
}

TEST(SglangWorker, NeedsAServer) {
  EXPECT_EQ(run_llava({"sglang-worker"}).status, 2);
  const ProcessResult refused =
      run_llava({"sglang-worker", "--port", "0", "--sgl-endpoint", "http://127.0.0.1:1"});
  EXPECT_EQ(refused.status, 4);
  EXPECT_NE(refused.err.find("http://127.0.0.1:1/get_model_info"), std::string::npos)
      << refused.err;
}

}  // namespace
}  // namespace llava::testing
