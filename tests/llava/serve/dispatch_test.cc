// SPDX-License-Identifier: Apache-2.0
//
// The dispatch methods (serving 2.7, 2.10 and 9.5; P3 and P4 of its conformance list).
#include "llava/serve/controller/dispatch.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

#include "llava/core/random.h"

namespace llava::serve {
namespace {

constexpr DispatchMethod kMethods[] = {DispatchMethod::kShortestQueue, DispatchMethod::kLottery,
                                       DispatchMethod::kLeastLoad, DispatchMethod::kPrefixHash};

WorkerEntry worker(const std::string& name, double speed = 1, double queue_length = 0,
                   std::vector<std::string> models = {"m"}) {
  WorkerEntry entry;
  entry.name = name;
  entry.status = {.model_names = std::move(models), .speed = speed, .queue_length = queue_length};
  return entry;
}

std::vector<WorkerEntry> workers(int count) {
  std::vector<WorkerEntry> entries;
  for (int i = 0; i < count; ++i)
    entries.push_back(worker(fmt::format("http://10.0.0.{}:21002", i)));
  return entries;
}

class Dispatch : public testing::Test {
 protected:
  // Name of the chosen worker, "" for none.
  std::string choose(const std::vector<WorkerEntry>& entries, DispatchMethod method,
                     const DispatchRequest& request = {.model = "m", .prefix_key = "key"}) {
    const auto index = choose_worker(entries, method, request, generator_);
    return index ? entries[*index].name : "";
  }

  Generator generator_{7};
};

TEST_F(Dispatch, HasTheNamesOfTheFlag) {
  for (const DispatchMethod method : kMethods) {
    EXPECT_EQ(parse_dispatch_method(dispatch_method_name(method)), method);
  }
  EXPECT_EQ(parse_dispatch_method("shortest_queue"), DispatchMethod::kShortestQueue);
  EXPECT_EQ(parse_dispatch_method("lottery"), DispatchMethod::kLottery);
  EXPECT_EQ(parse_dispatch_method("Lottery"), std::nullopt);
}

TEST_F(Dispatch, ComparesModelNamesExactly) {
  const std::vector<WorkerEntry> entries{worker("a", 1, 0, {"llava"}),
                                         worker("b", 1, 5, {"other", "Llava-7b"})};
  for (const DispatchMethod method : kMethods) {
    SCOPED_TRACE(dispatch_method_name(method));
    EXPECT_EQ(choose(entries, method, {.model = "Llava-7b", .prefix_key = "k"}), "b");
    EXPECT_EQ(choose(entries, method, {.model = "llava-7b", .prefix_key = "k"}), "");
    EXPECT_EQ(choose({}, method), "");
  }
}

TEST_F(Dispatch, PrefersUsableWorkers) {
  WorkerEntry full = worker("full");
  full.load = {.kv_usage = {},
               .num_waiting = 4,
               .num_running = {},
               .max_waiting = 4,
               .is_draining = {},
               .version = {}};
  WorkerEntry suspect = worker("suspect");
  suspect.num_failures = kSuspectFailures;
  WorkerEntry draining = worker("draining");
  draining.load.is_draining = true;
  const WorkerEntry usable = worker("usable", 1, 100);
  for (const DispatchMethod method : kMethods) {
    SCOPED_TRACE(dispatch_method_name(method));
    EXPECT_EQ(choose({draining, suspect, full, usable}, method), "usable");
    EXPECT_EQ(choose({draining, suspect, full}, method), "full");
    EXPECT_EQ(choose({draining, suspect}, method), "suspect");
    EXPECT_EQ(choose({draining}, method), "draining");
  }
  full.load.num_waiting = 3;
  EXPECT_EQ(choose({full, usable}, DispatchMethod::kShortestQueue), "full");
  suspect.num_failures = kSuspectFailures - 1;
  EXPECT_EQ(choose({suspect, usable}, DispatchMethod::kShortestQueue), "suspect");
}

TEST_F(Dispatch, LeavesOutWorkersThatWereTried) {
  const std::vector<WorkerEntry> entries{worker("a"), worker("b")};
  const std::vector<std::string> tried{"a"};
  const std::vector<std::string> all{"b", "a"};
  for (const DispatchMethod method : kMethods) {
    SCOPED_TRACE(dispatch_method_name(method));
    EXPECT_EQ(choose(entries, method, {.model = "m", .prefix_key = "k", .tried = tried}), "b");
    EXPECT_EQ(choose(entries, method, {.model = "m", .prefix_key = "k", .tried = all}), "");
  }
}

TEST_F(Dispatch, LeastLoadAddsKvUsage) {
  std::vector<WorkerEntry> entries{worker("a", 1, 2), worker("b", 1, 2), worker("c", 1, 3)};
  entries[0].load.kv_usage = 0.9;
  entries[1].load.kv_usage = 0.4;
  EXPECT_EQ(choose(entries, DispatchMethod::kLeastLoad), "b");
  // One request outweighs any share of the cache; a worker that reports none counts as empty.
  entries[0].load.kv_usage = 1.0;
  entries[1].status.queue_length = 4;
  EXPECT_EQ(choose(entries, DispatchMethod::kLeastLoad), "a");
  entries[0].load.kv_usage = 1000;
  EXPECT_EQ(choose(entries, DispatchMethod::kLeastLoad), "a");
  entries[2].status.queue_length = 2;
  EXPECT_EQ(choose(entries, DispatchMethod::kLeastLoad), "c");
}

// P4. The critical value of chi-square with three degrees of freedom at p = 0.01 is 11.345.
TEST_F(Dispatch, LotteryIsInProportionToSpeed) {
  constexpr int kDraws = 100'000;
  const std::vector<WorkerEntry> entries{worker("a", 1, 50), worker("b", 0.5), worker("c", 4),
                                         worker("other", 9, 0, {"n"}), worker("d", 2.5)};
  std::map<std::string, int> counts;
  for (int i = 0; i < kDraws; ++i) ++counts[choose(entries, DispatchMethod::kLottery)];
  const std::map<std::string, double> shares{
      {"a", 0.125}, {"b", 0.0625}, {"c", 0.5}, {"d", 0.3125}};
  ASSERT_EQ(counts.size(), shares.size());
  double chi_square = 0;
  for (const auto& [name, share] : shares) {
    const double expected = share * kDraws;
    chi_square += std::pow(counts[name] - expected, 2) / expected;
  }
  EXPECT_LT(chi_square, 11.345);
}

TEST_F(Dispatch, LotteryNeedsSpeed) {
  EXPECT_EQ(choose({worker("a", 4e-5), worker("b", 5e-5)}, DispatchMethod::kLottery), "");
  EXPECT_NE(choose({worker("a", 6e-5), worker("b", 6e-5)}, DispatchMethod::kLottery), "");
  // The other methods have no such limit.
  EXPECT_EQ(choose({worker("a", 4e-5)}, DispatchMethod::kShortestQueue), "a");
}

TEST_F(Dispatch, PrefixHashSpreadsKeysAndKeepsThem) {
  constexpr int kKeys = 20'000;
  constexpr int kWorkers = 10;
  std::vector<WorkerEntry> entries = workers(kWorkers);
  std::vector<std::string> before;
  std::map<std::string, int> counts;
  const auto choose_for = [&](int key) {
    const std::string text = fmt::format("image {}", key);
    return choose(entries, DispatchMethod::kPrefixHash, {.model = "m", .prefix_key = text});
  };
  for (int key = 0; key < kKeys; ++key) {
    before.push_back(choose_for(key));
    ++counts[before.back()];
  }
  // Nine degrees of freedom, p = 0.01.
  double chi_square = 0;
  for (const auto& [name, count] : counts) {
    const double expected = double{kKeys} / kWorkers;
    chi_square += std::pow(count - expected, 2) / expected;
  }
  EXPECT_EQ(counts.size(), std::size_t{kWorkers});
  EXPECT_LT(chi_square, 21.666);

  // A new worker takes its share and nothing else moves; the order of the table does not matter.
  const std::string added = "http://10.0.1.1:21002";
  entries.insert(entries.begin(), worker(added));
  std::swap(entries[2], entries[7]);
  int num_moved = 0;
  for (int key = 0; key < kKeys; ++key) {
    const std::string now = choose_for(key);
    if (now == before[static_cast<std::size_t>(key)]) continue;
    EXPECT_EQ(now, added);
    ++num_moved;
  }
  // Standard deviation of the number is 41.
  EXPECT_NEAR(num_moved, kKeys / (kWorkers + 1), 205);

  // A worker that goes moves only its own keys.
  entries = workers(kWorkers - 1);
  const std::string gone = fmt::format("http://10.0.0.{}:21002", kWorkers - 1);
  for (int key = 0; key < kKeys; ++key) {
    const std::string& was = before[static_cast<std::size_t>(key)];
    if (was != gone) {
      EXPECT_EQ(choose_for(key), was);
    }
  }
}

TEST_F(Dispatch, PrefixHashDependsOnTheModel) {
  std::vector<WorkerEntry> entries = workers(10);
  for (WorkerEntry& entry : entries) entry.status.model_names = {"m", "n"};
  int num_equal = 0;
  for (int key = 0; key < 1000; ++key) {
    const std::string text = fmt::format("{}", key);
    const auto of_model = [&](std::string_view model) {
      return choose(entries, DispatchMethod::kPrefixHash, {.model = model, .prefix_key = text});
    };
    if (of_model("m") == of_model("n")) ++num_equal;
  }
  // A tenth by chance; standard deviation 9.5.
  EXPECT_NEAR(num_equal, 100, 48);
}

TEST_F(Dispatch, PrefixHashGoesOnAboveTheBound) {
  std::vector<WorkerEntry> entries = workers(4);
  const auto choose_name = [&] { return choose(entries, DispatchMethod::kPrefixHash); };
  const std::string first = choose_name();
  const std::vector<std::string> tried{first};
  const std::string second = choose(entries, DispatchMethod::kPrefixHash,
                                    {.model = "m", .prefix_key = "key", .tried = tried});
  ASSERT_NE(first, second);
  const auto set_queue = [&](const std::string& name, double length) {
    for (WorkerEntry& entry : entries) {
      if (entry.name == name) entry.status.queue_length = length;
    }
  };
  for (WorkerEntry& entry : entries) entry.status.queue_length = 8;
  // Mean 8.75, bound 10.9, in whole requests 11.
  set_queue(first, 11);
  EXPECT_EQ(choose_name(), first);
  // Mean 9, bound 11.25, in whole requests 12.
  set_queue(first, 12);
  EXPECT_EQ(choose_name(), first);
  // Mean 9.25, bound 11.6, in whole requests 12.
  set_queue(first, 13);
  EXPECT_EQ(choose_name(), second);
  set_queue(first, 20);
  set_queue(second, 20);
  EXPECT_NE(choose_name(), first);
  EXPECT_NE(choose_name(), second);
  // One request at a time may go back to the worker that has the picture.
  for (WorkerEntry& entry : entries) entry.status.queue_length = 0;
  set_queue(first, 1);
  EXPECT_EQ(choose_name(), first);
  set_queue(first, 2);
  EXPECT_EQ(choose_name(), second);
}

TEST_F(Dispatch, PrefixHashBoundsTheLoadOfOneKey) {
  std::vector<WorkerEntry> entries = workers(5);
  entries[3].status.speed = 2;
  for (int total = 0; total < 2000; ++total) {
    const auto chosen = choose_worker(entries, DispatchMethod::kPrefixHash,
                                      {.model = "m", .prefix_key = "one picture"}, generator_);
    ASSERT_TRUE(chosen);
    WorkerEntry& entry = entries[*chosen];
    ASSERT_LE(entry.queue_length(), std::ceil(1.25 * total / 6 * entry.status.speed));
    ++entry.num_dispatched;
  }
}

TEST_F(Dispatch, PrefixHashWithoutKeyTakesTheShortestQueue) {
  std::vector<WorkerEntry> entries = workers(4);
  for (WorkerEntry& entry : entries) entry.status.queue_length = 1;
  entries[2].status.queue_length = 0;
  EXPECT_EQ(choose(entries, DispatchMethod::kPrefixHash, {.model = "m"}), entries[2].name);
}

}  // namespace
}  // namespace llava::serve
