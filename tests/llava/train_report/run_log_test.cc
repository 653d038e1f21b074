// SPDX-License-Identifier: Apache-2.0
#include "llava/train_report/run_log.h"

#include <gtest/gtest.h>

#include "llava/core/error.h"

namespace llava::train_report {
namespace {

Json step(int number, double loss) {
  return {{"step", number},
          {"loss", loss},
          {"tokens", 100},
          {"label_tokens", 40},
          {"samples", {number, number + 1}},
          {"ignored_samples", 1},
          {"seconds", 2.0}};
}

TEST(RunLog, SumsUp) {
  RunLog log;
  for (int i = 1; i <= 3; ++i) log.add(step(i, 1.0 / i));
  log.add({{"step", 3}, {"eval_loss", 0.5}});
  log.add({{"step", 4}, {"loss", nullptr}, {"skipped_steps", 1}});
  log.add({{"step", 4}, {"train_runtime", 9.0}, {"train_loss", 0.7}});
  EXPECT_EQ(log.steps().size(), 4u);
  EXPECT_EQ(log.evaluations().size(), 1u);
  EXPECT_TRUE(log.summary().has_value());
  EXPECT_EQ(log.last_step(), 4u);
  const RunTotals totals = sum_up(log);
  EXPECT_EQ(totals.tokens, 300u);
  EXPECT_EQ(totals.label_tokens, 120u);
  EXPECT_EQ(totals.ignored_samples, 3u);
  EXPECT_EQ(totals.skipped_steps, 1u);
  EXPECT_EQ(totals.bad_losses, 1u);
  EXPECT_EQ(totals.samples, 6u);
  EXPECT_EQ(totals.different_samples, 4u);
  EXPECT_EQ(totals.seconds, 6.0);
}

TEST(RunLog, AResumedRunTakesThePlaceOfWhatItRepeats) {
  RunLog log;
  for (int i = 1; i <= 5; ++i) log.add(step(i, 1.0));
  log.add({{"step", 5}, {"eval_loss", 0.5}});
  log.add({{"step", 5}, {"train_runtime", 9.0}});
  log.add(step(3, 7.0));
  ASSERT_EQ(log.steps().size(), 3u);
  EXPECT_EQ(log.steps().back().loss, 7.0);
  EXPECT_TRUE(log.evaluations().empty());
  EXPECT_FALSE(log.summary().has_value());
}

TEST(RunLog, EntriesWithoutAStepAreRefused) {
  RunLog log;
  EXPECT_THROW(log.add({{"loss", 1.0}}), Error);
  EXPECT_THROW(log.add({{"loss", 1.0}, {"step", -1}}), Error);
  EXPECT_THROW(log.add({{"loss", 1.0}, {"step", "7"}}), Error);
  log.add({{"step", 7u}, {"something", "else"}});
  EXPECT_TRUE(log.empty());
}

}  // namespace
}  // namespace llava::train_report
