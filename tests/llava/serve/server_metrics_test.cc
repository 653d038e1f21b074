// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/metrics/server_metrics.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "llava/serve/metrics/http_metrics.h"
#include "llava/serve/metrics/token_rate.h"

namespace llava::serve {
namespace {

/// The value behind a name with its labels; -1 when there is none.
double value_of(const std::string& metrics, const std::string& series) {
  const std::size_t at = metrics.find("\n" + series + " ");
  return at == std::string::npos ? -1 : std::stod(metrics.substr(at + series.size() + 2));
}

TEST(ServerMetrics, StagesOfAnAnswerAddUp) {
  ServerMetrics metrics("m", "");
  engine::AnswerUsage usage;
  usage.prompt_tokens = 600;
  usage.cached_tokens = 32;
  usage.encoded_images = 1;
  usage.completion_tokens = 11;
  usage.queue_ms = 250;
  usage.encode_ms = 500;
  usage.first_token_ms = 1750;  // prefill: 1000
  usage.decode_ms = 2000;
  metrics.count_answer({.usage = usage,
                        .image_tokens = 576,
                        .num_images = 2,
                        .num_choices = 3,
                        .max_tokens = 64,
                        .preprocess_ms = 125,
                        .reason = engine::FinishReason::kLength});
  const std::string text = metrics.scrape({});
  double sum = 0;
  for (const auto& [stage, seconds] :
       {std::pair{"preprocess", 0.125}, std::pair{"queue", 0.25}, std::pair{"encode", 0.5},
        std::pair{"prefill", 1.0}, std::pair{"decode", 2.0}}) {
    const double value =
        value_of(text, fmt::format(R"(llava_{}_time_seconds_sum{{model="m"}})", stage));
    EXPECT_DOUBLE_EQ(value, seconds) << stage;
    sum += value;
  }
  EXPECT_DOUBLE_EQ(value_of(text, R"(llava_e2e_latency_seconds_sum{model="m"})"), sum);
  EXPECT_DOUBLE_EQ(value_of(text, R"(llava_time_to_first_token_seconds_sum{model="m"})"), 1.875);
  EXPECT_DOUBLE_EQ(value_of(text, R"(llava_inter_token_latency_seconds_sum{model="m"})"), 0.2);
  for (const auto& [series, value] :
       {std::pair{R"(llava_requests_finished_total{model="m",reason="length"})", 1.0},
        std::pair{R"(llava_prompt_tokens_total{model="m",kind="text"})", 24.0},
        std::pair{R"(llava_prompt_tokens_total{model="m",kind="image"})", 576.0},
        std::pair{R"(llava_generation_tokens_total{model="m"})", 11.0},
        std::pair{R"(llava_prefix_cache_hit_tokens_total{model="m"})", 32.0},
        std::pair{R"(llava_image_cache_queries_total{model="m",level="encoder"})", 2.0},
        std::pair{R"(llava_image_cache_hits_total{model="m",level="encoder"})", 1.0},
        std::pair{R"(llava_request_params_n_sum{model="m"})", 3.0},
        std::pair{R"(llava_request_params_max_tokens_sum{model="m"})", 64.0}}) {
    EXPECT_DOUBLE_EQ(value_of(text, series), value) << series;
  }
}

TEST(ServerMetrics, WhatIsSoAtTheMoment) {
  ServerMetrics metrics("m", "vllm,sglang");
  metrics.count_step({.num_sequences = 3, .num_tokens = 40, .num_new_tokens = 2, .seconds = 0.5});
  metrics.count_image("url", "JPEG", 640 * 480);
  metrics.count_image_failure("invalid_image");
  metrics.count_failed_answer("queue_timeout");
  metrics.count_failed_answer("overloaded");
  metrics.count_failed_answer("slow_client");
  metrics.count_decoded_lookup(false);
  metrics.count_decoded_lookup(true);
  metrics.http().count_received("/v1/models");
  ServerMoment moment{.num_preparing = 4, .num_compiling = 2, .is_draining = true};
  moment.engine.num_waiting = 7;
  moment.engine.queued_tokens = 900;
  moment.engine.scheduler.preemptions = 5;
  metrics.scrape(moment);
  const std::string text = metrics.scrape(moment);
  for (const auto& [series, value] :
       {std::pair{R"(llava_step_tokens_sum{model="m"})", 40.0},
        std::pair{R"(llava_step_batch_size_sum{model="m"})", 3.0},
        std::pair{R"(llava_step_seconds_sum{model="m"})", 0.5},
        std::pair{R"(llava_images_total{model="m",format="JPEG",source="url"})", 1.0},
        std::pair{R"(llava_image_pixels_sum{model="m"})", 307200.0},
        std::pair{R"(llava_requests_finished_total{model="m",reason="timeout"})", 1.0},
        std::pair{R"(llava_requests_finished_total{model="m",reason="error"})", 1.0},
        std::pair{R"(llava_requests_finished_total{model="m",reason="slow_client"})", 1.0},
        std::pair{R"(llava_image_failures_total{model="m",code="invalid_image"})", 1.0},
        std::pair{R"(llava_image_cache_queries_total{model="m",level="decode"})", 2.0},
        std::pair{R"(llava_image_cache_hits_total{model="m",level="decode"})", 1.0},
        std::pair{R"(llava_requests_waiting{model="m"})", 7.0},
        std::pair{R"(llava_queued_tokens{model="m"})", 900.0},
        std::pair{R"(llava_requests_preprocessing{model="m"})", 4.0},
        std::pair{R"(llava_preemptions_total{model="m"})", 5.0},  // not 10: counted elsewhere
        std::pair{R"(vllm:num_preemptions_total{model_name="m"})", 5.0},
        std::pair{R"(sglang:num_queue_reqs{model_name="m"})", 7.0},
        std::pair{R"(llava_requests_grammar_waiting{model="m"})", 2.0},
        std::pair{R"(sglang:num_grammar_queue_reqs{model_name="m"})", 2.0},
        std::pair{R"(llava_requests_received_total{endpoint="/v1/models"})", 1.0},
        std::pair{"llava_draining", 1.0}}) {
    EXPECT_DOUBLE_EQ(value_of(text, series), value) << series;
  }
  EXPECT_GT(value_of(text, "process_open_fds"), 2);
  EXPECT_GT(value_of(text, "process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(value_of(text, "process_start_time_seconds"), 1.7e9);
}

TEST(TokenRate, OfTheLastTenSeconds) {
  TokenRate rate;
  const TokenRate::Clock::time_point begin{std::chrono::seconds(1000)};
  for (int second = 0; second < 30; ++second) {
    rate.add(second < 20 ? 50 : 10, begin + std::chrono::seconds(second));
  }
  EXPECT_DOUBLE_EQ(rate.per_second(begin + std::chrono::seconds(30)), 10);
  EXPECT_DOUBLE_EQ(rate.per_second(begin + std::chrono::seconds(35)), 5);
  EXPECT_DOUBLE_EQ(rate.per_second(begin + std::chrono::seconds(90)), 0);
}

}  // namespace
}  // namespace llava::serve
