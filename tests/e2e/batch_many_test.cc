// SPDX-License-Identifier: Apache-2.0
//
// `llava batch` over ten thousand pictures: killed twice, and its memory watched.
#include <gtest/gtest.h>

#include <set>

#include "batch_trial.h"

namespace llava::testing {
namespace {

using ManyBatch = BatchTrial;

TEST_F(ManyBatch, TenThousandPictures) {
  constexpr int kPictures = 10000;
  timeout_ = std::chrono::minutes(30);
  make_pictures(kPictures);
  const MemoryUse use = run_and_measure("whole.jsonl", kPictures);
  RecordProperty("early_kib", std::to_string(use.early_bytes / 1024));
  RecordProperty("late_kib", std::to_string(use.late_bytes / 1024));
  EXPECT_LE(static_cast<double>(use.late_bytes), 1.02 * static_cast<double>(use.early_bytes))
      << use.early_bytes << " bytes after 500 pictures, " << use.late_bytes << " at the end";
  const auto answers = check_records("whole.jsonl", kPictures);
  EXPECT_GT(std::set<std::string>(answers.begin(), answers.end()).size(), 100u);

  const int first = run_and_kill("killed.jsonl", kPictures / 3);
  const int second = run_and_kill("killed.jsonl", first + kPictures / 3);
  ASSERT_LT(second, kPictures);
  const ProcessResult last = run_process(command("killed.jsonl"));
  EXPECT_EQ(last.status, 0) << last.err;
  EXPECT_EQ(content("killed.jsonl"), content("whole.jsonl"));
}

}  // namespace
}  // namespace llava::testing
