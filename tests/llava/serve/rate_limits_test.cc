// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/routing/rate_limits.h"

#include <gtest/gtest.h>

#include <map>

#include "llava/serve/chat/load_estimate.h"
#include "llava/serve/protocol/api_error.h"

namespace llava::serve {
namespace {

using std::chrono::seconds;

RateLimits::Clock::time_point test_time;

class RateLimitsTest : public ::testing::Test {
 protected:
  RateLimitsTest() { test_time = RateLimits::Clock::time_point(seconds(1000)); }

  static RateLimits make(const RateLimitOptions& options) {
    return RateLimits(options, [] { return test_time; });
  }

  /// Seconds to wait, or 0 when there is no refusal.
  template <class Function>
  static int32_t wait_of(Function function) {
    try {
      function();
      return 0;
    } catch (const ApiError& error) {
      EXPECT_EQ(error.status(), 429);
      EXPECT_EQ(error.code(), "rate_limit_exceeded");
      return error.retry_after.value_or(-1);
    }
  }
};

TEST_F(RateLimitsTest, AMinutesWorthAndThenSteadily) {
  RateLimits limits = make({.rate_limit_requests = 3});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(wait_of([&] { limits.enter("a"); }), 0) << i;
  EXPECT_EQ(wait_of([&] { limits.enter("a"); }), 20);
  EXPECT_EQ(wait_of([&] { limits.check_request("a"); }), 20);
  EXPECT_EQ(wait_of([&] { limits.enter("b"); }), 0);
  test_time += seconds(19);
  EXPECT_EQ(wait_of([&] { limits.check_request("a"); }), 1);
  test_time += seconds(1);
  EXPECT_EQ(wait_of([&] { limits.enter("a"); }), 0);
  EXPECT_EQ(wait_of([&] { limits.enter("a"); }), 20);
  test_time += seconds(100'000);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(wait_of([&] { limits.enter("a"); }), 0) << i;
  EXPECT_EQ(wait_of([&] { limits.enter("a"); }), 20);
}

TEST_F(RateLimitsTest, TokensAreGivenBack) {
  RateLimits limits = make({.rate_limit_tokens = 600, .rate_limit_images = 2});
  EXPECT_EQ(wait_of([&] { limits.take("a", 500, 1); }), 0);
  EXPECT_EQ(wait_of([&] { limits.take("a", 200, 1); }), 10);
  limits.give_back_tokens("a", 450);
  EXPECT_EQ(wait_of([&] { limits.take("a", 200, 1); }), 0);
  EXPECT_EQ(wait_of([&] { limits.take("a", 1, 1); }), 30);
  // Nothing was taken of what was refused.
  EXPECT_EQ(wait_of([&] { limits.take("a", 350, 0); }), 0);
  limits.give_back_tokens("a", 1'000'000);
  EXPECT_EQ(wait_of([&] { limits.take("a", 601, 0); }), 0);
}

TEST_F(RateLimitsTest, OneLargeRequestOfAFullBucket) {
  RateLimits limits = make({.rate_limit_tokens = 60});
  EXPECT_EQ(wait_of([&] { limits.take("a", 120, 0); }), 0);
  EXPECT_EQ(wait_of([&] { limits.take("a", 60, 0); }), 120);
}

TEST_F(RateLimitsTest, AtTheSameTime) {
  RateLimits limits = make({.rate_limit_concurrent = 2});
  auto first = limits.enter("a");
  const auto second = limits.enter("a");
  EXPECT_EQ(wait_of([&] { limits.enter("a"); }), 1);
  EXPECT_EQ(wait_of([&] { limits.check_request("a"); }), 1);
  EXPECT_EQ(wait_of([&] { limits.enter("b"); }), 0);
  first = nullptr;
  EXPECT_EQ(wait_of([&] { limits.enter("a"); }), 0);
}

TEST_F(RateLimitsTest, HeadersSayWhatIsLeft) {
  RateLimits limits = make({.rate_limit_requests = 6, .rate_limit_tokens = 120});
  limits.enter("a");
  limits.take("a", 30, 0);
  std::map<std::string, std::string> headers;
  for (const HttpHeader& header : limits.headers("a")) headers[header.name] = header.value;
  const std::map<std::string, std::string> expected{
      {"x-ratelimit-limit-requests", "6"},    {"x-ratelimit-remaining-requests", "5"},
      {"x-ratelimit-reset-requests", "10s"},  {"x-ratelimit-limit-tokens", "120"},
      {"x-ratelimit-remaining-tokens", "90"}, {"x-ratelimit-reset-tokens", "15s"}};
  EXPECT_EQ(headers, expected);
}

TEST_F(RateLimitsTest, ManyClientsComeAndAreForgotten) {
  RateLimits limits = make({.rate_limit_requests = 1});
  const auto place = limits.enter("here");
  for (int i = 0; i < 20'000; ++i) {
    EXPECT_EQ(wait_of([&] { limits.enter(std::to_string(i)); }), 0);
    if (i % 1000 == 0) test_time += seconds(61);
  }
  EXPECT_EQ(wait_of([&] { limits.enter("19999"); }), 60);
}

TEST(LoadEstimate, WaitsForThoseAhead) {
  LoadEstimate load;
  EXPECT_EQ(load.wait_ms(100), 0);
  EXPECT_EQ(load.retry_after(100), 1);
  for (int i = 0; i < 100; ++i) load.note(4000, 2);
  EXPECT_NEAR(load.wait_ms(10), 20'000, 1);
  for (int i = 0; i < 100; ++i) {
    const int32_t seconds_to_wait = load.retry_after(10);
    EXPECT_GE(seconds_to_wait, 16);
    EXPECT_LE(seconds_to_wait, 24);
  }
  EXPECT_EQ(load.retry_after(1000), 60);
  // Four times as many at the same time take four times as long each: the wait is the same.
  for (int i = 0; i < 100; ++i) load.note(16'000, 8);
  EXPECT_NEAR(load.wait_ms(10), 20'000, 1);
}

}  // namespace
}  // namespace llava::serve
