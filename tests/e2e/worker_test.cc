// SPDX-License-Identifier: Apache-2.0
//
// `llava controller` and `llava worker`: the original's protocol between processes.
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
const std::string kErrorText =
    "**NETWORK ERROR DUE TO HIGH TRAFFIC. PLEASE REGENERATE OR REFRESH THIS PAGE.**";

class Server : public ServerProcess {
 public:
  using ServerProcess::ServerProcess;

  /// The body that a path answers with.
  std::string post(const std::string& path, const std::string& body = "{}", int status = 200) {
    const HttpReply reply = http_post(port(), path, body);
    EXPECT_EQ(reply.status, status) << path << " " << reply.body;
    return reply.body;
  }
};

Strings controller_arguments() { return {"controller", "--host", "127.0.0.1", "--port", "0"}; }

class Cluster : public ::testing::Test {
 protected:
  static Strings worker_arguments(const std::string& controller) {
    return {"worker",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--drain-delay",
            "0",
            "--dtype",
            "float32",
            "--model-path",
            golden_model(kModel),
            "--controller-address",
            controller};
  }
};

/// Waits until a worker is there: it registers after it has printed its address.
void wait_for_model(Server& controller) {
  while (controller.post("/list_models") != fmt::format(R"({{"models":["{}"]}})", kModel)) {
  }
}

std::vector<Json> records_of(const std::string& body) {
  std::vector<Json> records;
  for (std::string_view rest = body; !rest.empty();) {
    const std::size_t end = rest.find('\0');
    EXPECT_NE(end, std::string_view::npos) << rest;
    if (end == std::string_view::npos) break;
    records.push_back(parse_json(rest.substr(0, end), "record"));
    rest.remove_prefix(end + 1);
  }
  return records;
}

TEST_F(Cluster, AWorkerIsKnownAndAnswersThroughTheController) {
  Server controller(controller_arguments());
  EXPECT_EQ(controller.post("/list_models"), R"({"models":[]})");
  EXPECT_EQ(controller.post("/get_worker_address", R"({"model":"x"})"), R"({"address":""})");
  Server worker(worker_arguments(controller.address()));
  wait_for_model(controller);
  const std::string model = fmt::format(R"({{"model":"{}"}})", kModel);
  EXPECT_EQ(controller.post("/get_worker_address", model),
            fmt::format(R"({{"address":"{}"}})", worker.address()));
  EXPECT_EQ(worker.post("/worker_get_status"),
            fmt::format(R"({{"model_names":["{}"],"speed":1,"queue_length":0}})", kModel));

  const std::string request = fmt::format(
      R"({{"model":"{}","prompt":"H\u00e9 USER:","temperature":"0","max_new_tokens":6,"stop":"</s>"}})",
      kModel);
  const std::string direct = worker.post("/worker_generate_stream", request);
  const std::string relayed = controller.post("/worker_generate_stream", request);
  // How many tokens a record holds depends on who is faster.
  EXPECT_EQ(records_of(relayed).back(), records_of(direct).back());
  EXPECT_EQ(direct.find("{\"text\": \"H\\u00e9 USER:"), 0u) << direct;
  const auto records = records_of(direct);
  ASSERT_FALSE(records.empty());
  for (std::size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(records[i]["error_code"], 0);
    if (i == 0) continue;
    EXPECT_TRUE(records[i]["text"].get<std::string>().starts_with(
        records[i - 1]["text"].get<std::string>()));
  }
}

TEST_F(Cluster, TestMessageIsACheck) {
  Server controller(controller_arguments());
  const Strings ask = {"test-message", "--controller", controller.address(), "--max-new-tokens",
                       "4"};
  EXPECT_NE(run_llava(ask).status, 0);
  Server worker(worker_arguments(controller.address()));
  wait_for_model(controller);
  const ProcessResult answered =
      run_llava(ask + Strings{"--model-name", kModel, "--image", golden_image("wide_150x13.png")});
  EXPECT_EQ(answered.status, 0) << answered.err;
  EXPECT_GT(answered.out.size(), 1u);
  EXPECT_NE(answered.err.find("worker_addr: " + worker.address()), std::string::npos);
  const ProcessResult direct =
      run_llava({"test-message", "--worker", worker.address(), "--image", "/nowhere.png"});
  EXPECT_EQ(direct.status, 3);
}

TEST_F(Cluster, FailuresAreRecordsWithTheirCodes) {
  Server controller(controller_arguments());
  const auto only_record = [&](const std::string& request) {
    const auto records = records_of(controller.post("/worker_generate_stream", request));
    EXPECT_EQ(records.size(), 1u);
    EXPECT_EQ(records.at(0)["text"].get<std::string>(), kErrorText);
    return records.at(0)["error_code"].get<int>();
  };
  const std::string request =
      fmt::format(R"({{"model":"{}","prompt":"a <image>","max_new_tokens":4}})", kModel);
  EXPECT_EQ(only_record(request), 2);
  Server worker(worker_arguments(controller.address()));
  wait_for_model(controller);
  EXPECT_EQ(only_record(request), 1) << "a place for a picture, and none";
  worker.process().send_signal(SIGKILL);
  worker.process().finish();
  EXPECT_EQ(only_record(request), 3);
  EXPECT_EQ(parse_json(controller.post("/worker_generate_stream", "{", 400), "").contains("detail"),
            true);
  controller.post("/worker_generate_stream", R"({"prompt":"x"})", 400);
}

TEST_F(Cluster, AWorkerThatDiesInTheMiddleEndsItsRecords) {
  const std::string request =
      fmt::format(R"({{"model":"{}","prompt":"a","temperature":0,"max_new_tokens":1000}})", kModel);
  bool has_died_in_time = false;
  // Again, should an answer ever be done before the signal.
  for (int round = 0; round < 20 && !has_died_in_time; ++round) {
    Server controller(controller_arguments());
    Server worker(worker_arguments(controller.address()));
    wait_for_model(controller);
    HttpClient client(controller.port());
    client.send(post_bytes("/worker_generate_stream", request, "Connection: close\r\n"));
    // What is there already comes through before the worker is gone.
    client.read_until(R"("error_code": 0)");
    worker.process().send_signal(SIGKILL);
    worker.process().finish();
    try {
      EXPECT_NE(client.read_until(R"("error_code": 3)").find(kErrorText), std::string::npos);
      has_died_in_time = true;
    } catch (const std::runtime_error&) {
      // The answer was whole.
    }
  }
  EXPECT_TRUE(has_died_in_time);
}

TEST_F(Cluster, AnswersHaveTheirMostTokens) {
  Server worker(worker_arguments("") + Strings{"--no-register", "--legacy-max-new-tokens", "5"});
  const auto records = records_of(worker.post(
      "/worker_generate_stream", R"({"prompt":"a b c","max_new_tokens":5000,"extended":true})"));
  ASSERT_FALSE(records.empty());
  EXPECT_LE(records.back()["usage"]["completion_tokens"], 5);
  EXPECT_GT(records.back()["usage"]["completion_tokens"], 0);
}

TEST_F(Cluster, AFullContextIsSaidInItsOwnWords) {
  Server worker(worker_arguments("") + Strings{"--no-register"});
  std::string words;
  for (int i = 0; i < 5000; ++i) words += "word ";
  const auto records = records_of(
      worker.post("/worker_generate_stream", fmt::format(R"({{"prompt":"{}"}})", words)));
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0]["error_code"], 0);
  EXPECT_EQ(records[0]["text"].get<std::string>(),
            words + "Exceeds max token length. Please start a new conversation, thanks.");
}

TEST_F(Cluster, AWorkerThatEndsLeaves) {
  Server controller(controller_arguments());
  Server worker(worker_arguments(controller.address()));
  wait_for_model(controller);
  worker.process().send_signal(SIGTERM);
  EXPECT_EQ(worker.process().finish().status, 0);
  EXPECT_EQ(controller.post("/list_models"), R"({"models":[]})");
}

TEST_F(Cluster, AControllerThatComesBackIsToldAgain) {
  Server worker(worker_arguments("http://127.0.0.1:1") + Strings{"--speed", "2"});
  // The worker answers although its controller is away.
  EXPECT_EQ(parse_json(worker.post("/worker_get_status"), "")["speed"], 2);
  Server controller(controller_arguments());
  EXPECT_EQ(
      controller.post("/receive_heart_beat",
                      fmt::format(R"({{"worker_name":"{}","queue_length":0}})", worker.address())),
      R"({"exist":false})");
  const ProcessResult registered =
      run_llava({"register-worker", "--controller-address", controller.address(), "--worker-name",
                 worker.address()});
  EXPECT_EQ(registered.status, 0) << registered.err;
  wait_for_model(controller);
  const ProcessResult refused =
      run_llava({"register-worker", "--controller-address", controller.address(), "--worker-name",
                 "http://127.0.0.1:1"});
  EXPECT_EQ(refused.status, 4);
  EXPECT_NE(refused.err.find("http://127.0.0.1:1"), std::string::npos);
}

TEST_F(Cluster, ATokenShutsTheDoor) {
  Server controller(controller_arguments() + Strings{"--worker-token", "secret"});
  Server worker(worker_arguments(controller.address()) + Strings{"--worker-token", "secret"});
  EXPECT_EQ(http_post(controller.port(), "/list_models", "{}").status, 401);
  EXPECT_EQ(http_post(worker.port(), "/worker_get_status", "{}").status, 401);
  const std::string key = "Authorization: Bearer secret\r\n";
  while (http_post(controller.port(), "/list_models", "{}", key).body.find(kModel) ==
         std::string::npos) {
  }
  const HttpReply reply =
      http_post(controller.port(), "/worker_generate_stream",
                fmt::format(R"({{"model":"{}","prompt":"x","max_new_tokens":2}})", kModel), key);
  EXPECT_EQ(records_of(reply.body).back()["error_code"], 0);
}

// Source: transformers 4.37, generation/streamers.py, TextIteratorStreamer, which the original's
// worker sends every text of: one for each token, and one at the end.
TEST_F(Cluster, ExactChunksAreThoseOfTheOriginal) {
  const std::string request = R"({"prompt":"a b c","temperature":0,"max_new_tokens":12})";
  const Strings alone = worker_arguments("http://127.0.0.1:1") + Strings{"--no-register"};
  std::vector<Json> records;
  {
    Server worker(alone);
    records = records_of(worker.post("/worker_generate_stream", request));
  }
  Server worker(alone + Strings{"--legacy-exact-chunks"});
  const auto exact = records_of(worker.post("/worker_generate_stream", request));
  EXPECT_EQ(exact.size(), 12 + 1);
  EXPECT_EQ(exact.back(), records.back());
  std::string before = "a b c";
  for (std::size_t i = 0; i + 1 < exact.size(); ++i) {
    const auto text = exact[i].at("text").get<std::string>();
    EXPECT_TRUE(text.starts_with(before));
    // Up to the last space, or nothing new. (No answer of this model has line breaks or Chinese.)
    EXPECT_TRUE(text == before || text.ends_with(' ')) << text;
    before = text;
  }
}

TEST_F(Cluster, TopKOfRequestsThatNameNone) {
  const std::string request = R"({{"prompt":"a b c","temperature":{},"max_new_tokens":12}})";
  Server worker(worker_arguments("http://127.0.0.1:1") +
                Strings{"--no-register", "--legacy-top-k", "1"});
  EXPECT_EQ(
      records_of(worker.post("/worker_generate_stream", fmt::format(fmt::runtime(request), 0)))
          .back(),
      records_of(worker.post("/worker_generate_stream", fmt::format(fmt::runtime(request), 5)))
          .back());
}

}  // namespace
}  // namespace llava::testing
