// SPDX-License-Identifier: Apache-2.0
//
// The controller's table (serving 2.1 to 2.11; P3 and P5 of its conformance list).
#include "llava/serve/controller/worker_table.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <optional>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/random.h"

namespace llava::serve {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr WorkerTable::TimePoint kStart{std::chrono::hours{5}};

// "a" stands for the worker http://a.
std::string url(std::string_view letter) { return "http://" + std::string(letter); }

WorkerRegistration registration(std::string_view letter, double speed = 1, double queue_length = 0,
                                std::vector<std::string> models = {"m"}) {
  return {
      .name = url(letter),
      .checks_heart_beat = true,
      .is_multimodal = {},
      .status = {.model_names = std::move(models), .speed = speed, .queue_length = queue_length},
      .load = {}};
}

class WorkerTableTest : public testing::Test {
 protected:
  void add(std::string_view letter, double speed = 1, double queue_length = 0,
           std::vector<std::string> models = {"m"}) {
    table_.register_worker(registration(letter, speed, queue_length, std::move(models)), kStart);
  }
  bool beat(std::string_view letter, double queue_length, WorkerTable::TimePoint now = kStart,
            const WorkerLoad& load = {}) {
    return table_.receive_heart_beat({url(letter), queue_length, load}, now);
  }
  // Letters of the chosen workers, '-' for none.
  std::string dispatch(int count, DispatchMethod method = DispatchMethod::kShortestQueue) {
    std::string letters;
    for (int i = 0; i < count; ++i) {
      const auto name = table_.dispatch(method, {.model = "m", .prefix_key = "key"}, generator_);
      letters += name ? name->substr(7) : "-";
    }
    return letters;
  }
  std::string letters() const {
    std::string letters;
    for (const WorkerEntry& entry : table_.entries()) letters += entry.name.substr(7);
    return letters;
  }

  WorkerTable table_;
  Generator generator_{3};
};

TEST_F(WorkerTableTest, KeepsTheOrderOfRegistration) {
  EXPECT_TRUE(table_.register_worker(registration("b"), kStart));
  EXPECT_TRUE(table_.register_worker(registration("a"), kStart));
  EXPECT_TRUE(table_.register_worker(registration("c"), kStart));
  EXPECT_FALSE(table_.register_worker(registration("a", 2, 7, {"n"}), kStart));
  EXPECT_EQ(letters(), "bac");
  EXPECT_EQ(table_.entries()[1].status.speed, 2);
  EXPECT_EQ(table_.entries()[1].queue_length(), 7);
  EXPECT_TRUE(table_.unregister_worker(url("b")));
  EXPECT_FALSE(table_.unregister_worker(url("b")));
  EXPECT_TRUE(table_.register_worker(registration("b"), kStart));
  EXPECT_EQ(letters(), "acb");
}

TEST_F(WorkerTableTest, RefusesBadRegistrations) {
  const auto code_of = [&](const WorkerRegistration& bad) -> std::optional<ErrorCode> {
    try {
      table_.register_worker(bad, kStart);
    } catch (const Error& e) {
      return e.code();
    }
    return std::nullopt;
  };
  const double infinity = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  add("a", 2, 3);
  for (const double speed : {0.0, -1.0, nan, infinity, 1e38}) {
    EXPECT_EQ(code_of(registration("a", speed)), ErrorCode::kInvalidArgument) << speed;
  }
  EXPECT_EQ(code_of(registration("a", 1, infinity)), ErrorCode::kInvalidArgument);
  WorkerRegistration bad = registration("a");
  bad.name = "ftp://a";
  EXPECT_EQ(code_of(bad), ErrorCode::kInvalidArgument);
  ASSERT_EQ(table_.entries().size(), 1u);
  EXPECT_EQ(table_.entries()[0].status.speed, 2);

  for (std::size_t i = 1; i < kMaxWorkers; ++i) {
    ASSERT_EQ(code_of(registration(fmt::format("w{}", i))), std::nullopt);
  }
  EXPECT_EQ(code_of(registration("one-more")), ErrorCode::kResourceExhausted);
  EXPECT_EQ(code_of(registration("a")), std::nullopt);
}

// P3. Costs by hand, in parentheses: a, b, c after each choice.
TEST_F(WorkerTableTest, ShortestQueueFollowsTheOriginal) {
  add("a", 1, 0);
  add("b", 2, 0);
  add("c", 1, 0);
  // a (1 0 0) b (1 .5 0) c (1 .5 1) b (1 1 1) a (2 1 1) b (2 1.5 1) c (2 1.5 2) b (2 2 2) a
  EXPECT_EQ(dispatch(9), "abcbabcba");
  // Queues are 3, 4, 2 now; the reports replace them.
  beat("a", 5);
  beat("b", 5);
  beat("c", 2);
  // (5 2.5 2) c (5 2.5 3) b (5 3 3) b (5 3.5 3) c (5 3.5 4) b (5 4 4) b (5 4.5 4) c
  EXPECT_EQ(dispatch(7), "cbbcbbc");
  // A worker that registers again keeps its place among ties and loses its queue.
  add("a", 4, 20);
  beat("b", 10);
  beat("c", 5);
  EXPECT_EQ(dispatch(2), "ab");
  // (5.25 5.5 5)
  EXPECT_EQ(dispatch(1), "c");
}

TEST_F(WorkerTableTest, ShortestQueueEqualsALoopOverTheTable) {
  constexpr uint64_t kSeed = 20;
  SCOPED_TRACE(kSeed);
  Generator generator(kSeed);
  struct Row {
    std::string letter;
    double speed = 1;
    double queue_length = 0;
  };
  std::vector<Row> rows;
  const auto row_of = [&](const std::string& letter) {
    return std::find_if(rows.begin(), rows.end(),
                        [&](const Row& row) { return row.letter == letter; });
  };
  for (int step = 0; step < 20'000; ++step) {
    const std::string letter(1, static_cast<char>('a' + generator.below(6)));
    const auto queue_length = static_cast<double>(generator.below(6));
    const auto row = row_of(letter);
    const uint64_t action = generator.below(20);
    if (action == 0) {
      const double speed = static_cast<double>(1 + generator.below(4));
      add(letter, speed, queue_length);
      if (row == rows.end()) {
        rows.push_back({letter, speed, queue_length});
      } else {
        *row = {letter, speed, queue_length};
      }
    } else if (action == 1) {
      ASSERT_EQ(table_.unregister_worker(url(letter)), row != rows.end());
      if (row != rows.end()) rows.erase(row);
    } else if (action < 5) {
      ASSERT_EQ(beat(letter, queue_length), row != rows.end());
      if (row != rows.end()) row->queue_length = queue_length;
    } else {
      Row* best = nullptr;
      for (Row& candidate : rows) {
        if (best == nullptr ||
            candidate.queue_length / candidate.speed < best->queue_length / best->speed) {
          best = &candidate;
        }
      }
      ASSERT_EQ(dispatch(1), best == nullptr ? "-" : best->letter) << "step " << step;
      if (best != nullptr) ++best->queue_length;
    }
  }
}

TEST_F(WorkerTableTest, DropsDispatchesThatNoHeartBeatConfirms) {
  add("a");
  add("b", 1, 2);
  EXPECT_EQ(dispatch(3), "aaa");
  EXPECT_EQ(table_.entries()[0].queue_length(), 3);
  EXPECT_TRUE(beat("a", 0));
  EXPECT_EQ(table_.entries()[0].queue_length(), 0);
  EXPECT_EQ(dispatch(4), "aaab");
}

TEST_F(WorkerTableTest, CountsDispatchesButForTheLottery) {
  add("a");
  for (const DispatchMethod method :
       {DispatchMethod::kShortestQueue, DispatchMethod::kLeastLoad, DispatchMethod::kPrefixHash}) {
    const double before = table_.entries()[0].queue_length();
    EXPECT_EQ(dispatch(1, method), "a");
    EXPECT_EQ(table_.entries()[0].queue_length(), before + 1);
  }
  EXPECT_EQ(dispatch(5, DispatchMethod::kLottery), "aaaaa");
  EXPECT_EQ(table_.entries()[0].queue_length(), 3);
}

TEST_F(WorkerTableTest, TakesOverExtendedHeartBeats) {
  EXPECT_FALSE(beat("a", 1));
  EXPECT_THAT(table_.entries(), IsEmpty());
  add("a");
  WorkerLoad load{.kv_usage = 0.5,
                  .num_waiting = 1,
                  .num_running = 2,
                  .max_waiting = 8,
                  .is_draining = false,
                  .version = "1.0"};
  EXPECT_TRUE(beat("a", 3, kStart, load));
  // What a heartbeat does not say stays.
  EXPECT_TRUE(beat("a", 4, kStart,
                   {.kv_usage = 0.7,
                    .num_waiting = {},
                    .num_running = {},
                    .max_waiting = {},
                    .is_draining = true,
                    .version = {}}));
  const WorkerEntry& entry = table_.entries()[0];
  EXPECT_EQ(entry.queue_length(), 4);
  EXPECT_EQ(entry.load.kv_usage, 0.7);
  EXPECT_EQ(entry.load.num_waiting, 1);
  EXPECT_EQ(entry.load.num_running, 2);
  EXPECT_EQ(entry.load.max_waiting, 8);
  EXPECT_EQ(entry.load.version, "1.0");
  EXPECT_TRUE(entry.is_draining());
  // A worker that starts again does not inherit it.
  add("a");
  EXPECT_FALSE(table_.entries()[0].is_draining());
}

TEST_F(WorkerTableTest, DrainingWorkersGetNothingWhileThereIsAnother) {
  add("a");
  add("b", 1, 50);
  WorkerLoad draining;
  draining.is_draining = true;
  beat("a", 0, kStart, draining);
  EXPECT_EQ(dispatch(2), "bb");
  table_.unregister_worker(url("b"));
  EXPECT_EQ(dispatch(1), "a");
}

// P5.
TEST_F(WorkerTableTest, ForgetsSilentWorkersAfterThirtySeconds) {
  add("a");
  WorkerRegistration silent = registration("b");
  silent.checks_heart_beat = false;
  table_.register_worker(silent, kStart);
  table_.register_worker(registration("c"), kStart);
  EXPECT_TRUE(beat("c", 0, kStart + seconds(15)));
  EXPECT_THAT(table_.remove_expired(kStart + seconds(30)), IsEmpty());
  EXPECT_THAT(table_.remove_expired(kStart + seconds(30) + milliseconds(1)), ElementsAre(url("a")));
  EXPECT_EQ(letters(), "bc");
  EXPECT_THAT(table_.remove_expired(kStart + seconds(45)), IsEmpty());
  EXPECT_THAT(table_.remove_expired(kStart + std::chrono::hours(100)), ElementsAre(url("c")));
  EXPECT_EQ(letters(), "b");
  EXPECT_FALSE(beat("a", 0));
}

TEST_F(WorkerTableTest, DropsDispatchesOfWorkersThatSendNoHeartBeats) {
  WorkerRegistration silent = registration("a", 1, 2);
  silent.checks_heart_beat = false;
  table_.register_worker(silent, kStart);
  EXPECT_EQ(dispatch(3), "aaa");
  table_.remove_expired(kStart + seconds(30));
  EXPECT_EQ(table_.entries()[0].queue_length(), 5);
  table_.remove_expired(kStart + seconds(31));
  EXPECT_EQ(table_.entries()[0].queue_length(), 2);
}

TEST_F(WorkerTableTest, ListsModels) {
  add("a", 1, 0, {"llava-v1.5-7b", "vicuna"});
  add("b", 1, 0, {"vicuna", "My-LLaVA"});
  WorkerRegistration other = registration("c", 1, 0, {"qwen-vl", "vicuna"});
  other.is_multimodal = true;
  table_.register_worker(other, kStart);
  other = registration("d", 1, 0, {"llava-text"});
  other.is_multimodal = false;
  table_.register_worker(other, kStart);
  EXPECT_THAT(table_.list_models(),
              ElementsAre("llava-v1.5-7b", "vicuna", "My-LLaVA", "qwen-vl", "llava-text"));
  EXPECT_THAT(table_.list_multimodal_models(),
              ElementsAre("llava-v1.5-7b", "My-LLaVA", "qwen-vl", "vicuna"));
  EXPECT_THAT(table_.list_language_models(), ElementsAre("vicuna", "llava-text"));
}

TEST_F(WorkerTableTest, AddsUpTheStatus) {
  EXPECT_THAT(table_.status().model_names, IsEmpty());
  EXPECT_EQ(table_.status().speed, 0);
  add("a", 1, 2, {"m", "n"});
  add("b", 0.5, 3, {"o", "n"});
  EXPECT_EQ(dispatch(1), "a");
  const WorkerStatus status = table_.status();
  EXPECT_THAT(status.model_names, ElementsAre("m", "n", "o"));
  EXPECT_EQ(status.speed, 1.5);
  EXPECT_EQ(status.queue_length, 6);
}

TEST_F(WorkerTableTest, SuspectsAWorkerAfterTwoFailuresInARow) {
  add("a");
  add("b", 1, 50);
  EXPECT_FALSE(table_.report_failure(url("x"), kStart));
  EXPECT_FALSE(table_.report_success(url("x")));
  EXPECT_TRUE(table_.report_failure(url("a"), kStart));
  EXPECT_EQ(dispatch(1), "a");
  EXPECT_TRUE(table_.report_success(url("a")));
  table_.report_failure(url("a"), kStart);
  EXPECT_EQ(dispatch(1), "a");
  table_.report_failure(url("a"), kStart);
  EXPECT_EQ(dispatch(2), "bb");
  EXPECT_TRUE(beat("a", 0));
  EXPECT_EQ(dispatch(1), "a");
  // The only worker is used even when it is suspect.
  table_.unregister_worker(url("b"));
  table_.report_failure(url("a"), kStart);
  table_.report_failure(url("a"), kStart);
  EXPECT_EQ(dispatch(1), "a");
  add("a");
  EXPECT_FALSE(table_.entries()[0].is_suspect());
}

TEST_F(WorkerTableTest, ProbesSuspectsWithGrowingPauses) {
  add("a");
  add("b");
  table_.report_failure(url("a"), kStart);
  EXPECT_THAT(table_.take_due_probes(kStart + seconds(100)), IsEmpty());
  table_.report_failure(url("a"), kStart);
  auto now = kStart;
  for (const int pause_ms : {500, 1000, 2000, 4000, 8000, 15'000, 15'000}) {
    SCOPED_TRACE(pause_ms);
    EXPECT_THAT(table_.take_due_probes(now + milliseconds(pause_ms - 1)), IsEmpty());
    now += milliseconds(pause_ms);
    EXPECT_THAT(table_.take_due_probes(now), ElementsAre(url("a")));
    table_.report_failure(url("a"), now);  // the probe's own failure keeps the pauses growing
  }
  table_.report_success(url("a"));
  EXPECT_THAT(table_.take_due_probes(now + seconds(100)), IsEmpty());
}

TEST_F(WorkerTableTest, RefreshKeepsTheTableUntilItIsDone) {
  for (const char* letter : {"a", "b", "c", "d", "e"}) add(letter, 1, 9);
  const std::vector<RefreshTarget> targets = table_.refresh_targets();
  ASSERT_EQ(targets.size(), 5u);
  EXPECT_EQ(targets[2].name, url("c"));

  // Meanwhile: still dispatched to; d starts again, f comes, e leaves.
  EXPECT_EQ(dispatch(1), "a");
  table_.report_failure(url("a"), kStart);
  table_.report_failure(url("a"), kStart);
  const auto now = kStart + seconds(5);
  table_.register_worker(registration("d", 3, 1), now);
  table_.register_worker(registration("f"), now);
  table_.unregister_worker(url("e"));

  const auto answered = [](double speed) {
    return WorkerStatus{.model_names = {"m", "new"}, .speed = speed, .queue_length = 4};
  };
  // Results come in any order.
  EXPECT_THAT(table_.replace_after_refresh({{targets[2], answered(0)},
                                            {targets[4], answered(1)},
                                            {targets[3], std::nullopt},
                                            {targets[0], answered(2)},
                                            {targets[1], std::nullopt}},
                                           now),
              ElementsAre(url("c"), url("b")));
  EXPECT_EQ(letters(), "adf");
  const WorkerEntry& a = table_.entries()[0];
  EXPECT_THAT(a.status.model_names, ElementsAre("m", "new"));
  EXPECT_EQ(a.status.speed, 2);
  EXPECT_EQ(a.queue_length(), 4);
  EXPECT_FALSE(a.is_suspect());
  EXPECT_TRUE(a.checks_heart_beat);
  EXPECT_EQ(a.last_heart_beat, now);
  EXPECT_EQ(table_.entries()[1].status.speed, 3);
}

}  // namespace
}  // namespace llava::serve
