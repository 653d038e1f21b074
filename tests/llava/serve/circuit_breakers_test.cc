// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/circuit_breakers.h"

#include <gtest/gtest.h>

#include "llava/serve/gateway/retry_budget.h"

namespace llava::serve {
namespace {

using Names = std::vector<std::string>;
using std::chrono::seconds;

class CircuitBreakersTest : public ::testing::Test {
 protected:
  void fail_times(int count) {
    for (int i = 0; i < count; ++i) breakers_.report_failure("a", now_);
  }
  Names open() const { return breakers_.open_ones(now_); }

  CircuitBreakers breakers_;
  CircuitBreakers::TimePoint now_{seconds(1000)};
};

TEST_F(CircuitBreakersTest, ManyFailuresKeepRequestsAwayForAWhile) {
  fail_times(4);
  EXPECT_EQ(open(), Names());
  fail_times(1);
  breakers_.report_failure("b", now_);
  EXPECT_EQ(open(), Names{"a"});
  now_ += kOpenTime - seconds(1);
  EXPECT_EQ(open(), Names{"a"});
  now_ += seconds(1);
  EXPECT_EQ(open(), Names());
}

TEST_F(CircuitBreakersTest, OneRequestTries) {
  fail_times(5);
  now_ += kOpenTime;
  breakers_.begin("a", now_);
  EXPECT_EQ(open(), Names{"a"}) << "others wait for it";
  breakers_.report_failure("a", now_);
  now_ += kOpenTime - seconds(1);
  EXPECT_EQ(open(), Names{"a"}) << "one more failure is enough";
  now_ += seconds(1);
  breakers_.begin("a", now_);
  breakers_.report_success("a");
  EXPECT_EQ(open(), Names());
  fail_times(4);
  EXPECT_EQ(open(), Names()) << "what was before is forgotten";
}

TEST_F(CircuitBreakersTest, OldFailuresDoNotCount) {
  fail_times(4);
  now_ += kFailureTime + seconds(1);
  fail_times(4);
  EXPECT_EQ(open(), Names());
}

TEST(RetryBudget, OneRetryForTenRequests) {
  RetryBudget budget;
  int num_retries = 0;
  while (budget.take()) ++num_retries;
  EXPECT_EQ(num_retries, 10);
  for (int i = 0; i < 1001; ++i) {
    budget.count_request();
    if (budget.take()) ++num_retries;
  }
  EXPECT_NEAR(num_retries, 110, 1);
}

}  // namespace
}  // namespace llava::serve
