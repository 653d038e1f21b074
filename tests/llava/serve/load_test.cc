// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "llava/core/error.h"
#include "llava/serve/load/arrivals.h"
#include "llava/serve/load/conversation.h"
#include "llava/serve/load/load_report.h"
#include "support/temporary_folder.h"

namespace llava::serve {
namespace {

using ::testing::ElementsAre;

TEST(Arrivals, KeepTheirRate) {
  LoadOptions options;
  options.requests = 20'000;
  options.rate = 50;
  for (const char* process : {"poisson", "uniform", "burst"}) {
    options.arrivals = process;
    const std::vector<double> times = make_arrivals(options);
    ASSERT_EQ(times.size(), 20'000U);
    EXPECT_TRUE(std::ranges::is_sorted(times));
    EXPECT_NEAR(times.back(), 400, 15) << process;
    EXPECT_EQ(make_arrivals(options), times);
  }
  EXPECT_EQ(make_arrivals(options)[7], 0.0);
  EXPECT_DOUBLE_EQ(make_arrivals(options)[8], 8 / 50.0);
}

class Replay : public testing::TemporaryFolder {};

TEST_F(Replay, ReadsTimesOfAFile) {
  LoadOptions options;
  options.replay = write("times", "0.5\r\n0\n\n2e0\n");
  EXPECT_THAT(make_arrivals(options), ElementsAre(0, 0.5, 2));
  for (const char* text : {"x", "-1", "nan", "1 2"}) {
    options.replay = write("times", text);
    EXPECT_THROW(make_arrivals(options), Error) << text;
  }
}

TEST(LoadReport, CountsWhatIsGood) {
  LoadOptions options;
  options.slo_first_token_ms = 150;
  options.slo_token_ms = 50;
  LoadResult result{.samples = {}, .seconds = 2};
  const auto add = [&](double first, double end, int64_t tokens, const std::string& error = {}) {
    LoadSample sample;
    sample.intended = 1;
    sample.first_token = first;
    sample.end = end;
    sample.completion_tokens = tokens;
    sample.status = error.empty() ? 200 : 503;
    sample.error = error;
    sample.gaps = {0.01F, 0.02F};
    result.samples.push_back(sample);
  };
  add(1.1, 1.2, 11);
  add(1.2, 1.3, 11);   // the first token is late
  add(1.1, 1.72, 11);  // the others are slow
  add(-1, 1.04, 0, "503 overloaded");
  const LoadReport report = make_load_report(options, result);
  EXPECT_EQ(report.num_requests, 4U);
  EXPECT_EQ(report.num_ok, 3U);
  EXPECT_DOUBLE_EQ(report.goodput, 0.5);
  EXPECT_DOUBLE_EQ(report.tokens_per_second, 16.5);
  EXPECT_NEAR(report.first_token.p50, 100, 1e-6);
  EXPECT_NEAR(report.first_token.max, 200, 1e-6);
  EXPECT_NEAR(report.refusal.max, 40, 1e-6);
  EXPECT_EQ(report.errors.at("503 overloaded"), 1);
  options.url = "http://127.0.0.1/<script>";
  EXPECT_EQ(load_report_html(options, report, result).find("<script>"), std::string::npos);
}

TEST(LoadReport, PercentilesAreOfTheNearestRank) {
  std::vector<double> values(100);
  std::iota(values.begin(), values.end(), 1.0);
  const Percentiles p = percentiles_of(values);
  EXPECT_EQ(p.p50, 50);
  EXPECT_EQ(p.p95, 95);
  EXPECT_EQ(p.p99, 99);
  EXPECT_EQ(p.max, 100);
  EXPECT_EQ(percentiles_of({7}).p50, 7);
  EXPECT_EQ(percentiles_of({}).p99, 0);
}

TEST(LoadTarget, IsThisHostUnlessOneMayPutLoadOnOthers) {
  LoadOptions options;
  for (const char* url :
       {"http://127.0.0.1:8000", "http://localhost/", "http://[::1]:1", "http://127.8.9.1"}) {
    options.url = url;
    EXPECT_NO_THROW(check_load_target(options)) << url;
  }
  for (const char* url : {"http://example.org", "http://localhost.example.org", "http://10.0.0.1",
                          "http://127.0.0.1.example.org", "http://[::2]:1"}) {
    options.url = url;
    EXPECT_THROW(check_load_target(options), Error) << url;
  }
  options.i_own_this_host = true;
  EXPECT_NO_THROW(check_load_target(options));
}

TEST(Conversations, AreTheSameForTheSameSeed) {
  LoadOptions options;
  options.images = 2;
  options.image_size = 16;
  ConversationMaker one(options);
  ConversationMaker other(options);
  OrderedJson first = one.begin();
  EXPECT_EQ(first, other.begin());
  EXPECT_NE(one.begin(), first);
  one.go_on(first, "answer");
  EXPECT_EQ(first.size(), 3U);
  options.shared_image_ratio = 1;
  ConversationMaker shared(options);
  EXPECT_EQ(shared.begin()[0]["content"][0], shared.begin()[0]["content"][0]);
}

}  // namespace
}  // namespace llava::serve
