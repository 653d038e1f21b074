// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/batches/batch.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "llava/serve/batches/batch_runner.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

constexpr const char* kEndpoint = "/v1/chat/completions";

std::string line_of(const std::string& id, const std::string& body = R"({"text": "x"})") {
  return R"({"custom_id": ")" + id + R"(", "method": "POST", "url": ")" + kEndpoint +
         R"(", "body": )" + body + "}\n";
}

TEST(BatchInput, ReadsLines) {
  const BatchInput input = read_batch_input(line_of("a") + "\r\n\n" + line_of("b"), kEndpoint);
  EXPECT_TRUE(input.errors.empty());
  ASSERT_EQ(input.lines.size(), 2U);
  EXPECT_EQ(input.lines[1].custom_id, "b");
  EXPECT_EQ(input.lines[1].body, R"({"text":"x"})");
}

TEST(BatchInput, NamesTheLinesThatAreWrong) {
  const auto error_of = [](const std::string& line) {
    const BatchInput input = read_batch_input(line_of("a") + line, kEndpoint);
    return input.errors.empty() ? BatchError{} : input.errors[0];
  };
  for (const char* line : {"{", "[]", R"({"method": "POST"})",
                           R"({"custom_id": "b", "url": "/v1/completions", "body": {}})",
                           R"({"custom_id": "b", "url": "/v1/chat/completions"})",
                           R"({"custom_id": "b", "url": "/v1/chat/completions", "method": "GET",
                               "body": {}})"}) {
    EXPECT_EQ(error_of(line).line, 2) << line;
  }
  EXPECT_EQ(error_of(line_of("a")).message, "custom_id: 'a' occurs twice");
  EXPECT_EQ(error_of(line_of("b", R"({"stream": true})")).message,
            "body.stream: is not for batches");
  EXPECT_EQ(read_batch_input("\n", kEndpoint).errors.size(), 1U);
}

class BatchRunnerTest : public ::testing::Test {
 protected:
  BatchRunnerTest() {
    router_.add("POST", kEndpoint, Access::kKey, [this](const RouteCall& call) { answer(call); });
  }

  void answer(const RouteCall& call) {
    const std::string& body = call.request.body;
    if (body.find("fails") != std::string::npos) throw ApiError(400, "invalid_value", "no");
    if (body.find("dropped") != std::string::npos) return;
    if (body.find("busy") != std::string::npos && num_refused_++ == 0) {
      ApiError error(503, "overloaded", "busy");
      error.retry_after = 1;
      throw error;
    }
    if (body.find("waits") != std::string::npos) {
      call.exchange->on_close([this, exchange = call.exchange](CloseReason) {
        exchange->respond(json_response({{"text", "cut"}}));
        ++num_closed_;
      });
      return;
    }
    call.exchange->respond(json_response({{"client", call.client}, {"owner", call.owner}}));
  }

  Batch create(const std::string& text) {
    RouteCall call;
    call.client = "client";
    call.owner = "owner";
    const StoredFile file = files_.add("owner", "in.jsonl", "batch", text);
    return runner_.create(call, file, kEndpoint, {{"k", "v"}});
  }
  Batch wait(const std::string& id) {
    while (!runner_.is_idle()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return runner_.find("owner", id).value();
  }
  Json lines(const std::string& file) {
    Json all = Json::array();
    std::string_view rest = *files_.find("owner", file).value().bytes;
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      all.push_back(Json::parse(line));
      rest.remove_prefix(line.size() + 1);
    }
    return all;
  }

  ApiKeys keys_{{}, ""};
  Router router_{{}, keys_};
  FileStore files_{1 << 20};
  std::atomic<int> num_refused_{0};
  std::atomic<int> num_closed_{0};
  BatchRunner runner_{router_, files_};
};

TEST_F(BatchRunnerTest, AnswersEveryLine) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += line_of(std::to_string(i));
  text += line_of("bad", R"({"text": "fails"})") + line_of("gone", R"({"text": "dropped"})") +
          line_of("late", R"({"text": "busy"})");
  const Batch batch = wait(create(text).id);
  EXPECT_EQ(batch_json(batch)["status"], "completed");
  EXPECT_EQ(batch.num_lines, 103);
  EXPECT_EQ(batch.num_answered, 101);
  EXPECT_EQ(batch.num_failed, 2);
  const Json answers = lines(batch.output_file);
  ASSERT_EQ(answers.size(), 101U);
  EXPECT_EQ(answers[0]["response"]["body"], (Json{{"client", "client"}, {"owner", "owner"}}));
  EXPECT_EQ(lines(batch.error_file)[0]["custom_id"], "bad");
  EXPECT_EQ(lines(batch.error_file)[0]["response"]["status_code"], 400);
  EXPECT_EQ(runner_.find("another", batch.id), std::nullopt);
  EXPECT_EQ(runner_.list("owner").size(), 1U);
}

TEST_F(BatchRunnerTest, CancellingKeepsWhatWasAnswered) {
  std::string text = line_of("first");
  for (int i = 0; i < 20; ++i) text += line_of(std::to_string(i), R"({"text": "waits"})");
  const std::string id = create(text).id;
  while (runner_.find("owner", id)->num_answered < 1) {
  }
  EXPECT_EQ(runner_.cancel("another", id), std::nullopt);
  EXPECT_TRUE(runner_.cancel("owner", id));
  const Batch batch = wait(id);
  EXPECT_EQ(batch_json(batch)["status"], "cancelled");
  EXPECT_EQ(batch.num_answered, 1);
  EXPECT_EQ(lines(batch.output_file)[0]["custom_id"], "first");
  EXPECT_EQ(num_closed_, 8);
}

TEST_F(BatchRunnerTest, AFileThatIsNoneFails) {
  const Batch batch = create("nonsense\n");
  const OrderedJson json = batch_json(batch);
  EXPECT_EQ(json["status"], "failed");
  EXPECT_EQ(json["errors"]["data"][0]["line"], 1);
  EXPECT_TRUE(runner_.is_idle());
}

TEST_F(BatchRunnerTest, StopsInTheMiddle) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += line_of(std::to_string(i), R"({"text": "waits"})");
  create(text);
}

}  // namespace
}  // namespace llava::serve
