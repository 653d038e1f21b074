// SPDX-License-Identifier: Apache-2.0
//
// `llava serve` and those who hold connections: thousands that say nothing, and more than the
// system has descriptors for.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>

#include "data_url.h"
#include "model_server.h"
#include "program.h"
#include "support/http_client.h"
#include "support/sanitizer.h"

namespace llava::testing {
namespace {

using Clients = std::vector<std::unique_ptr<HttpClient>>;

const char* const kChat = "/v1/chat/completions";
const char* const kHealth = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A text question whose answer has 20 tokens.
std::string text_question(bool is_streamed = false) {
  return fmt::format(
      R"({{"messages": [{{"role": "user", "content": "Hi"}}], "ignore_eos": true, "temperature": 0,
           "max_tokens": 20, "stream": {}}})",
      is_streamed);
}

/// Whether this process may have so many descriptors open.
bool may_open(rlim_t count) {
  rlimit limit{};
  EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  if (limit.rlim_cur >= count) return true;
  if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < count) return false;
  limit.rlim_cur = count;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

// Those who say nothing, half of something, or do not listen take nothing from those who ask.
TEST(Connections, ThousandsWhoHoldConnectionsHoldNobodyUp) {
  constexpr int kIdle = 4000;
  if (!may_open(kIdle + 500)) GTEST_SKIP() << "this system allows fewer than 4500 descriptors";
  const Server server(golden_flags());
  Clients idle;
  for (int i = 0; i < kIdle; ++i) {
    idle.push_back(std::make_unique<HttpClient>(server.port()));
    if (i % 2 == 0) continue;
    idle.back()->send(kHealth);
  }
  for (std::size_t i = 1; i < idle.size(); i += 2) {
    ASSERT_EQ(idle[i]->read_reply().value().status, 200);
  }
  Clients slow;
  for (int i = 0; i < 40; ++i) {
    slow.push_back(std::make_unique<HttpClient>(server.port()));
    // A head that never ends, a body that never comes, an answer that nobody reads.
    const std::string whole = post_bytes(kChat, text_question(true));
    const std::size_t head_end = whole.find("\r\n\r\n") + 4;
    slow.back()->send(
        whole.substr(0, i % 3 == 0 ? head_end / 2 : (i % 3 == 1 ? head_end + 1 : whole.size())));
  }
  EXPECT_GE(server.metric("llava_http_connections"), kIdle / 2);
  const std::string expected = server.chat(text_question())["choices"][0].dump();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(server.chat(text_question())["choices"][0].dump(), expected);
  }
  // Nor are they forgotten: who asks after all is answered.
  idle.back()->send(kHealth);
  EXPECT_EQ(idle.back()->read_reply().value().status, 200);
}

// P17: ten thousand who asked once and stay cost a few kibibytes each, and nobody else's time.
TEST(Connections, TenThousandIdleConnectionsAreHeldInLittleMemory) {
  constexpr int kIdle = 10'000;
  [[maybe_unused]] constexpr int64_t kBytesOfEach = 16 << 10;
  // One process serves them all, so that several clients would gain nothing.
  if (!may_open(kIdle + 500)) GTEST_SKIP() << "this system allows fewer than 10500 descriptors";
  Server server(golden_flags() + Strings{"--max-connections", "10100"});
  const std::string expected = server.chat(text_question())["choices"][0].dump();
  [[maybe_unused]] const int64_t bytes_before = server.process().resident_bytes();
  Clients idle;
  for (int i = 0; i < kIdle; ++i) {
    idle.push_back(std::make_unique<HttpClient>(server.port()));
    idle.back()->send(kHealth);
    ASSERT_EQ(idle.back()->read_reply().value().status, 200) << i;
  }
  EXPECT_GE(server.metric("llava_http_connections"), kIdle);
#ifndef LLAVA_HAS_SANITIZER
  const int64_t bytes_after = server.process().resident_bytes();
  EXPECT_LT(bytes_after - bytes_before, kIdle * kBytesOfEach);
  // A busy machine delays one question or another, not most of them.
  std::vector<double> seconds;
  for (int i = 0; i < 9; ++i) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(server.chat(text_question())["choices"][0].dump(), expected);
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::ranges::sort(seconds);
  EXPECT_LT(seconds[seconds.size() / 2], 1);
  RecordProperty("bytes_of_each", static_cast<int>((bytes_after - bytes_before) / kIdle));
  RecordProperty("median_ms", static_cast<int>(seconds[seconds.size() / 2] * 1000));
#endif
  EXPECT_EQ(server.chat(text_question())["choices"][0].dump(), expected);
  // They are connected all the while, the first as the last.
  for (const std::size_t i : {std::size_t{0}, idle.size() / 2, idle.size() - 1}) {
    idle[i]->send(kHealth);
    EXPECT_EQ(idle[i]->read_reply().value().status, 200);
  }
  // Once they have gone, nothing of them is left.
  idle.clear();
  while (server.metric("llava_http_connections") > 2) {
  }
}

// Where the system allows fewer descriptors than connections, the server takes fewer, and keeps
// some for what it has to open to answer.
TEST(Connections, TheyLeaveDescriptorsForOtherThings) {
  constexpr int kDescriptors = 200;
  ProcessRequest request = program_request(Strings{"serve", "--port", "0"} + golden_flags());
  Strings limited = {"/bin/sh", "-c", fmt::format("ulimit -n {}; exec \"$@\"", kDescriptors), "sh"};
  request.arguments.insert(request.arguments.begin(), limited.begin(), limited.end());
  request.environment["LLAVA_LOG"] = "warning";
  Process process(request);
  ASSERT_TRUE(process.wait_for_output("http://127.0.0.1:"));
  ASSERT_TRUE(process.wait_for_output("\n"));
  const std::string& out = process.output();
  const int port = std::stoi(out.substr(out.rfind(':') + 1));
  Clients clients;
  int num_answered = 0;
  for (int i = 0; i < kDescriptors; ++i) {
    clients.push_back(std::make_unique<HttpClient>(port));
    clients.back()->send(kHealth);
    num_answered += clients.back()->read_reply().has_value() ? 1 : 0;
  }
  EXPECT_GE(num_answered, kDescriptors / 2);
  EXPECT_LE(num_answered, kDescriptors - 64);
  clients.front()->send(post_bytes(kChat, question(golden_image("wide_150x13.png"))));
  EXPECT_EQ(clients.front()->read_reply().value().status, 200);
  clients.clear();
  process.send_signal(SIGINT);
  const ProcessResult result = process.finish();
  EXPECT_NE(result.err.find("http_descriptors"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace llava::testing
