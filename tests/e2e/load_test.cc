// SPDX-License-Identifier: Apache-2.0
//
// `llava serve` under load: more than it can do, pictures that take long, and what its metrics say
// of it all.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "data_url.h"
#include "llava/core/file.h"
#include "llava/image/decode.h"
#include "model_server.h"
#include "program.h"
#include "support/http_client.h"
#include "support/sanitizer.h"

namespace llava::testing {
namespace {

using Clients = std::vector<std::unique_ptr<HttpClient>>;

const char* const kChat = "/v1/chat/completions";

/// A text question whose answer has exactly so many tokens.
std::string text_question(int max_tokens, bool is_streamed = false) {
  return fmt::format(
      R"({{"messages": [{{"role": "user", "content": "Hi"}}], "ignore_eos": true, "temperature": 0,
           "max_tokens": {}, "stream": {}}})",
      max_tokens, is_streamed);
}

Clients send_to(const Server& server, int count, const std::string& body) {
  Clients clients;
  for (int i = 0; i < count; ++i) {
    clients.push_back(std::make_unique<HttpClient>(server.port()));
    clients.back()->send(post_bytes(kChat, body));
  }
  return clients;
}

// E16: what it cannot do it refuses, saying when to come back; what it takes it answers.
TEST(Load, MoreThanItCanDoIsRefusedAndTheRestIsAnswered) {
  Server server(golden_flags() + Strings{"--max-running-requests", "2", "--max-queued-requests",
                                         "4", "--queue-timeout", "30"});
  const Clients clients = send_to(server, 60, text_question(200));
  int num_answered = 0, num_refused = 0;
  for (const auto& client : clients) {
    const HttpReply reply = client->read_reply().value();
    const Json answer = parse_json(reply.body, "answer");
    if (reply.status == 200) {
      ++num_answered;
      EXPECT_EQ(answer["usage"]["completion_tokens"], 200);
      continue;
    }
    ++num_refused;
    EXPECT_EQ(reply.status, 503) << reply.body;
    EXPECT_EQ(answer["error"]["code"], "overloaded");
    const int seconds = std::stoi(reply.headers.at("retry-after"));
    EXPECT_GE(seconds, 1);
    EXPECT_LE(seconds, 60);
  }
  // At least those that may wait.
  EXPECT_GE(num_answered, 4);
  EXPECT_GT(num_refused, 0);
  EXPECT_EQ(server.metric("llava_requests_rejected_total", R"(code="overloaded")"), num_refused);

  // An open loop far beyond it, again and again: every request ends in one way or the other.
  [[maybe_unused]] int64_t bytes_before = 0;
  for (int round = 0; round < 3; ++round) {
    const Json report =
        server.bear_load({"--requests", "400", "--rate", "2000", "--max-tokens", "8"});
    int64_t refused = 0;
    for (const auto& [code, count] : report["errors"].items()) {
      EXPECT_TRUE(code.starts_with("503 ")) << code;
      refused += count.get<int64_t>();
    }
    EXPECT_EQ(report["ok"].get<int64_t>() + refused, 400);
    EXPECT_GT(report["ok"], 0);
    EXPECT_EQ(report["completion_tokens"], report["ok"].get<int64_t>() * 8);
    if (round == 0) bytes_before = server.process().resident_bytes();
  }
  server.wait_until_idle();
  EXPECT_EQ(server.metric("llava_kv_tokens_used"), 0);
#ifndef LLAVA_HAS_SANITIZER
  EXPECT_LT(server.process().resident_bytes(), bytes_before + (32 << 20));
#endif
  server.chat(text_question(1));
}

// E21
TEST(Load, MetricsCountWhatWasDone) {
  const Server server(golden_flags());
  const std::string picture = golden_image("wide_150x13.png");
  const auto finished = [&] { return server.metric("llava_requests_finished_total"); };
  const auto refused = [&] { return server.metric("llava_requests_rejected_total"); };
  ASSERT_EQ(finished(), 0);

  int64_t prompt_tokens = 0, image_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  const auto count = [&](const Json& usage) {
    const Json& details = usage["prompt_tokens_details"];
    prompt_tokens += usage["prompt_tokens"].get<int64_t>();
    image_tokens += details["image_tokens"].get<int64_t>();
    cached_tokens += details["cached_tokens"].get<int64_t>();
    completion_tokens += usage["completion_tokens"].get<int64_t>();
  };
  constexpr int kPictureQuestions = 3;
  for (int i = 0; i < kPictureQuestions; ++i) {
    count(server.chat(question(picture, R"("ignore_eos": true)"))["usage"]);
  }
  count(server.chat(
      question(golden_image("landscape_96x64.jpg"), R"("ignore_eos": true, "n": 2)"))["usage"]);
  std::string streamed = text_question(5, true);
  streamed.insert(1, R"("stream_options": {"include_usage": true}, )");
  count(events_of(http_post(server.port(), kChat, streamed).body).back()["usage"]);
  server.chat("{", 400);
  server.chat(R"({"model": "other", "messages": [{"role": "user", "content": "x"}]})", 404);
  server.chat(question_about_url("data:image/png;base64,AAAA"), 400);
  server.chat(question_about_url("http://127.0.0.1/x.png"), 400);
  EXPECT_EQ(http_get(server.port(), "/v1/nothing").status, 404);

  // A request is counted when nothing of its answer is left to send.
  constexpr int kAnswers = kPictureQuestions + 2;
  while (finished() < kAnswers || refused() < 5 ||
         server.metric("llava_http_requests_total", fmt::format(R"(path="{}")", kChat)) <
             kAnswers + 4) {
  }
  EXPECT_EQ(finished(), kAnswers);
  EXPECT_EQ(server.metric("llava_requests_finished_total", R"(reason="length")"), kAnswers);
  EXPECT_EQ(refused(), 5);
  for (const char* code :
       {"invalid_json", "model_not_found", "invalid_image", "image_url_not_allowed", "not_found"}) {
    EXPECT_EQ(server.metric("llava_requests_rejected_total", fmt::format(R"(code="{}")", code)), 1)
        << code;
  }
  const std::string endpoint = fmt::format(R"(endpoint="{}")", kChat);
  EXPECT_EQ(server.metric("llava_requests_received_total", endpoint), kAnswers + 4);
  const std::string path = fmt::format(R"(path="{}")", kChat);
  EXPECT_EQ(server.metric("llava_http_requests_total", path), kAnswers + 4);
  EXPECT_EQ(server.metric("llava_http_request_seconds_count", path), kAnswers + 4);
  EXPECT_EQ(server.metric("llava_http_requests_total", R"(path="other")"), 1);

  EXPECT_EQ(server.metric("llava_prompt_tokens_total"), prompt_tokens);
  EXPECT_EQ(server.metric("llava_prompt_tokens_total", R"(kind="image")"), image_tokens);
  EXPECT_EQ(server.metric("llava_generation_tokens_total"), completion_tokens);
  EXPECT_EQ(completion_tokens, 8 * (kPictureQuestions + 2) + 5);
  EXPECT_EQ(server.metric("llava_prefix_cache_query_tokens_total"), prompt_tokens);
  EXPECT_EQ(server.metric("llava_prefix_cache_hit_tokens_total"), cached_tokens);
  EXPECT_GT(cached_tokens, 0);
  EXPECT_EQ(server.metric("llava_request_prompt_tokens_sum"), prompt_tokens);
  EXPECT_EQ(server.metric("llava_request_generation_tokens_sum"), completion_tokens);
  EXPECT_EQ(server.metric("llava_request_params_n_sum"), kAnswers + 1);
  EXPECT_EQ(server.metric("llava_request_params_max_tokens_sum"), 8 * (kPictureQuestions + 1) + 5);

  // Each is decoded once.
  EXPECT_EQ(server.metric("llava_images_total", R"(format="PNG")"), 1);
  EXPECT_EQ(server.metric("llava_images_total", R"(format="JPEG")"), 1);
  EXPECT_EQ(server.metric("llava_images_total", R"(source="data")"), 2);
  EXPECT_EQ(server.metric("llava_image_pixels_sum"), 150 * 13 + 96 * 64);
  EXPECT_EQ(server.metric("llava_image_failures_total", R"(code="invalid_image")"), 1);
  EXPECT_EQ(server.metric("llava_image_failures_total", R"(code="image_url_not_allowed")"), 1);
  const auto cached = [&](const char* what, const char* level) {
    return server.metric(fmt::format("llava_image_cache_{}_total", what),
                         fmt::format(R"(level="{}")", level));
  };
  // The one that is none was looked for as well.
  EXPECT_EQ(cached("queries", "decode"), kPictureQuestions + 2);
  EXPECT_EQ(cached("hits", "decode"), kPictureQuestions - 1);
  EXPECT_EQ(cached("queries", "encoder"), kPictureQuestions + 1);
  EXPECT_EQ(cached("hits", "encoder"), kPictureQuestions - 1);
  EXPECT_EQ(server.metric("llava_preemptions_total"), 0);
  EXPECT_EQ(server.metric("llava_draining"), 0);
  EXPECT_GT(server.metric("process_open_fds"), 3);
  EXPECT_GT(server.metric("process_start_time_seconds"), 1.7e9);

  const auto sum_of = [&](const char* stage) {
    EXPECT_EQ(server.metric(fmt::format("llava_{}_seconds_count", stage)), kAnswers) << stage;
    return server.metric(fmt::format("llava_{}_seconds_sum", stage));
  };
  const double whole = sum_of("e2e_latency");
  const double before_first = sum_of("preprocess_time") + sum_of("queue_time") +
                              sum_of("encode_time") + sum_of("prefill_time");
  constexpr double kTolerance = 0.005 * kAnswers;
  EXPECT_NEAR(before_first, sum_of("time_to_first_token"), kTolerance);
  EXPECT_NEAR(before_first + sum_of("decode_time"), whole, kTolerance);
  // A request begins before its stages and ends after them.
  EXPECT_LE(whole, server.metric("llava_http_request_seconds_sum", path) + kTolerance);
}

/// A picture of 20 megapixels; behind its end, where nothing looks, something that no other has.
std::string large_picture(int number) {
  static const std::string png = [] {
    image::RgbImage picture(image::ImageSize{5000, 4000});
    return image::encode_png(picture);
  }();
  return data_url_of_bytes(png + std::to_string(number));
}

// E22: decoding is not the engine's work. Streams go on, and end, while it lasts.
TEST(Load, PicturesThatAreDecodedHoldNoStreamUp) {
  const Server server(golden_flags() + Strings{"--preprocess-threads", "1"});
  constexpr std::size_t kPicturesOfARequest = 4;
  constexpr std::size_t kStreams = 8;
  const auto num_answered = [&] {
    return server.metric("llava_http_requests_total", fmt::format(R"(path="{}")", kChat));
  };
  int number = 0;
  bool has_ended_meanwhile = false;
  // A larger burst where the machine was faster with the last one than with the streams.
  for (std::size_t size = 2; size <= 16 && !has_ended_meanwhile; size *= 2) {
    const double num_before = num_answered();
    Clients streams = send_to(server, kStreams, text_question(100, true));
    for (const auto& stream : streams) stream->read_until("data: ");
    Clients burst;
    for (std::size_t i = 0; i < size; ++i) {
      OrderedJson body = OrderedJson::parse(text_question(1));
      OrderedJson content = OrderedJson::array();
      for (std::size_t p = 0; p < kPicturesOfARequest; ++p) {
        content.push_back(
            {{"type", "image_url"}, {"image_url", {{"url", large_picture(number++)}}}});
      }
      body["messages"][0]["content"] = std::move(content);
      burst.push_back(std::make_unique<HttpClient>(server.port()));
      burst.back()->send(post_bytes(kChat, to_text(body)));
    }
    // Those that begin behind the burst have a prompt to be prepared behind it, and wait; those
    // that run do not.
    for (const auto& stream : streams) stream->read_until("data: [DONE]");
    has_ended_meanwhile = num_answered() < num_before + static_cast<double>(kStreams + size);
    for (const auto& client : burst) EXPECT_EQ(client->read_reply().value().status, 200);
    while (num_answered() < num_before + static_cast<double>(kStreams + size)) {
    }
  }
  EXPECT_TRUE(has_ended_meanwhile);
}

}  // namespace
}  // namespace llava::testing
