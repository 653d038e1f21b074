// SPDX-License-Identifier: Apache-2.0
//
// The pool's promises. Parts write plain memory that the caller reads afterwards, so that the
// thread sanitizer sees a missing synchronisation.
#include "llava/core/thread_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/guarded.h"
#include "llava/core/random.h"

namespace llava {
namespace {

// Long enough for idle workers to stop spinning and sleep in the kernel.
void let_workers_sleep() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(3);
  while (std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

class ThreadPoolTest : public testing::TestWithParam<int> {
 protected:
  ThreadPool pool_{GetParam()};
};

TEST_P(ThreadPoolTest, HasTheThreadsAskedFor) { EXPECT_EQ(pool_.num_threads(), GetParam()); }

TEST_P(ThreadPoolTest, RunsEveryPartOnce) {
  for (const int64_t num_parts : {0, 1, 2, 3, 5, 64, 1000}) {
    std::vector<int> counts(static_cast<std::size_t>(num_parts));
    pool_.run(num_parts, [&](int64_t i) { ++counts[static_cast<std::size_t>(i)]; });
    EXPECT_TRUE(std::ranges::all_of(counts, [](int count) { return count == 1; })) << num_parts;
  }
  pool_.run(-1, [](int64_t) { FAIL() << "no parts"; });
}

TEST_P(ThreadPoolTest, NoTwoPartsAtWorkHaveTheSameThreadNumber) {
  std::vector<std::atomic<int>> at_work(static_cast<std::size_t>(GetParam()));
  std::atomic<bool> is_alone = true;
  for (int job = 0; job < 200; ++job) {
    pool_.run(50, [&](int64_t, int thread) {
      std::atomic<int>& mine = at_work.at(static_cast<std::size_t>(thread));
      if (++mine != 1) is_alone = false;
      --mine;
    });
  }
  EXPECT_TRUE(is_alone);
}

// A thread streams what its parts read, so they lie side by side.
TEST_P(ThreadPoolTest, EachThreadBeginsWithItsShareInOrder) {
  const int64_t num_parts = 12;
  std::vector<std::vector<int64_t>> parts_of(static_cast<std::size_t>(GetParam()));
  pool_.run(num_parts, [&](int64_t part, int thread) {
    parts_of[static_cast<std::size_t>(thread)].push_back(part);
  });
  for (int64_t thread = 0; thread < GetParam(); ++thread) {
    const auto& parts = parts_of[static_cast<std::size_t>(thread)];
    const int64_t begin = num_parts * thread / GetParam();
    const int64_t end = num_parts * (thread + 1) / GetParam();
    int64_t next = begin;
    for (const int64_t part : parts) {
      if (part < begin || part >= end) continue;  // another's, taken to help
      EXPECT_GE(part, next);
      next = part + 1;
    }
  }
}

TEST_P(ThreadPoolTest, ManySmallJobsSeeEachOthersResults) {
  std::vector<int64_t> values(3, 0);
  for (int64_t job = 0; job < 20000; ++job) {
    pool_.run(3, [&](int64_t i) { values[static_cast<std::size_t>(i)] += job; });
    // The next job moves the values on, so that parts read what other threads wrote.
    std::ranges::rotate(values, values.begin() + 1);
  }
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), int64_t{0}), 3 * 20000LL * 19999 / 2);
}

TEST_P(ThreadPoolTest, PartsOfUnequalLengthMeetAtTheEnd) {
  // Long enough that other threads take some of them.
  std::vector<uint64_t> results(7);
  uint64_t expected = 0;
  for (uint64_t job = 0; job < 1000; ++job) {
    pool_.run(7, [&](int64_t i) {
      Generator generator(job);
      uint64_t last = 0;
      for (int64_t step = 0; step <= i * 200; ++step) last = generator();
      results[static_cast<std::size_t>(i)] += last;
    });
    Generator generator(job);
    for (int step = 0; step <= 1200; ++step) {
      const uint64_t value = generator();
      if (step % 200 == 0) expected += value;
    }
  }
  EXPECT_EQ(std::accumulate(results.begin(), results.end(), uint64_t{0}), expected);
}

TEST_P(ThreadPoolTest, WakesSleepingWorkers) {
  for (int round = 0; round < 20; ++round) {
    let_workers_sleep();
    std::vector<int> counts(16);
    pool_.run(16, [&](int64_t i) { ++counts[static_cast<std::size_t>(i)]; });
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0), 16);
  }
}

TEST_P(ThreadPoolTest, ExceptionOfAPartIsThrownAgain) {
  for (int round = 0; round < 200; ++round) {
    try {
      pool_.run(8, [](int64_t i) {
        if (i % 3 == 2) throw std::runtime_error("part " + std::to_string(i));
      });
      FAIL() << "no exception";
    } catch (const std::runtime_error& e) {
      const std::string message = e.what();
      EXPECT_TRUE(message == "part 2" || message == "part 5") << message;
    }
    // The pool is whole, and the exception is gone.
    std::atomic<int> count = 0;
    pool_.run(8, [&](int64_t) { ++count; });
    EXPECT_EQ(count, 8);
  }
}

TEST_P(ThreadPoolTest, ErrorsKeepTheirCode) {
  try {
    pool_.run(4, [](int64_t) { fail(ErrorCode::kResourceExhausted, "out of memory"); });
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kResourceExhausted);
  }
}

TEST_P(ThreadPoolTest, RangesCoverTheCountInOrderedPieces) {
  for (const int64_t count : {0, 1, 2, 7, 100, 12345}) {
    for (const int64_t min_range : {0, 1, 8, 1000, 100000}) {
      Guarded<std::vector<std::pair<int64_t, int64_t>>> guarded;
      pool_.run_ranges(count, min_range, [&](int64_t begin, int64_t end) {
        guarded.with([&](auto& ranges) { ranges.emplace_back(begin, end); });
      });
      auto ranges = guarded.with([](auto& list) { return list; });
      std::ranges::sort(ranges);
      ASSERT_LE(static_cast<int>(ranges.size()), pool_.num_threads());
      int64_t next = 0;
      for (const auto& [begin, end] : ranges) {
        EXPECT_EQ(begin, next);
        EXPECT_LT(begin, end);
        EXPECT_GE(end - begin, std::min(min_range, count));
        next = end;
      }
      EXPECT_EQ(next, count);
    }
  }
}

TEST_P(ThreadPoolTest, EndsWithoutHavingRun) {
  for (int i = 0; i < 50; ++i) {
    const ThreadPool idle(GetParam());
    if (i % 10 == 0) let_workers_sleep();
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 3, 8));

TEST(ThreadPoolsTest, TwoPoolsWorkSideBySide) {
  std::vector<int64_t> totals(2);
  {
    std::vector<std::jthread> owners;
    for (std::size_t owner = 0; owner < 2; ++owner) {
      owners.emplace_back([&totals, owner] {
        ThreadPool pool(3);
        std::vector<int64_t> parts(5);
        for (int job = 0; job < 2000; ++job) {
          pool.run(5, [&](int64_t i) { parts[static_cast<std::size_t>(i)] += i; });
        }
        totals[owner] = std::accumulate(parts.begin(), parts.end(), int64_t{0});
      });
    }
  }
  EXPECT_EQ(totals, (std::vector<int64_t>{20000, 20000}));
}

class ThreadCountTest : public testing::Test {
 protected:
  ThreadCountTest() {
    if (const char* value = std::getenv("LLAVA_THREADS")) saved_ = value;
  }
  ~ThreadCountTest() override {
    if (saved_) {
      ::setenv("LLAVA_THREADS", saved_->c_str(), 1);
    } else {
      ::unsetenv("LLAVA_THREADS");
    }
  }

 private:
  std::optional<std::string> saved_;
};

TEST_F(ThreadCountTest, ComesFromTheEnvironment) {
  ::setenv("LLAVA_THREADS", "3", 1);
  EXPECT_EQ(ThreadPool().num_threads(), 3);
  EXPECT_EQ(ThreadPool(2).num_threads(), 2);
  ::setenv("LLAVA_THREADS", "", 1);
  EXPECT_GE(ThreadPool().num_threads(), 1);
  ::unsetenv("LLAVA_THREADS");
  EXPECT_GE(ThreadPool().num_threads(), 1);
}

TEST_F(ThreadCountTest, MalformedEnvironmentIsAnInvalidArgument) {
  for (const char* text : {"0", "-1", "two", "3x", "4097", "99999999999999999999", " "}) {
    ::setenv("LLAVA_THREADS", text, 1);
    try {
      const ThreadPool refused;
      FAIL() << "no error for '" << text << "'";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(e.what()).find("LLAVA_THREADS"), std::string::npos);
    }
  }
}

TEST_F(ThreadCountTest, NegativeCountIsAnInvalidArgument) {
  try {
    const ThreadPool refused(-2);
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
  }
}

TEST(GuardedTest, CountsFromManyThreads) {
  Guarded<int> counter(0);
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 5000; ++n) counter.with([](int& value) { ++value; });
      });
    }
  }
  const Guarded<int>& shared = counter;
  EXPECT_EQ(shared.with([](const int& value) { return value; }), 20000);
}

}  // namespace
}  // namespace llava
