// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/http/hand_over.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <latch>
#include <stdexcept>
#include <thread>

namespace llava::serve {
namespace {

namespace asio = boost::asio;

/// Two threads, as a server has them.
class HandOverTest : public ::testing::Test {
 protected:
  void run() {
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { run_on(); });
  }
  /// As the server's threads do.
  void run_on() {
    for (;;) {
      try {
        io_.run();
        return;
      } catch (const std::exception&) {
      }
    }
  }
  void TearDown() override {
    work_.reset();
    threads_.clear();
  }

  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::shared_ptr<HandOver> hand_over_ = std::make_shared<HandOver>(io_.get_executor());
  std::vector<std::jthread> threads_;
};

TEST_F(HandOverTest, EachStrandGetsItsTasksInTheirOrder) {
  constexpr int kStrands = 8, kTasks = 500;
  run();
  std::vector<std::vector<int>> seen(kStrands);
  std::latch done(kStrands * kTasks);
  std::vector<std::jthread> givers;
  for (int i = 0; i < kStrands; ++i) {
    givers.emplace_back([&, i] {
      const asio::any_io_executor strand = asio::make_strand(io_);
      for (int task = 0; task < kTasks; ++task) {
        hand_over_->post(strand, [&seen, &done, i, task] {
          seen[static_cast<std::size_t>(i)].push_back(task);
          done.count_down();
        });
      }
    });
  }
  done.wait();
  for (const auto& tasks : seen) {
    ASSERT_EQ(tasks.size(), std::size_t{kTasks});
    EXPECT_TRUE(std::ranges::is_sorted(tasks));
  }
}

TEST_F(HandOverTest, WhatIsThereAtOnceIsOneHandOver) {
  const asio::any_io_executor strand = asio::make_strand(io_);
  int num_run = 0;
  for (int i = 0; i < 16; ++i) hand_over_->post(strand, [&] { ++num_run; });
  work_.reset();
  // Nobody has run anything yet: one call runs all of it.
  EXPECT_EQ(io_.poll_one(), 1u);
  EXPECT_EQ(num_run, 16);
}

TEST_F(HandOverTest, ATaskThatThrowsDoesNotKeepOthers) {
  run();
  const asio::any_io_executor strand = asio::make_strand(io_);
  std::latch done(2);
  for (int i = 0; i < 2; ++i) {
    hand_over_->post(strand, [&] {
      done.count_down();
      throw std::runtime_error("a task that fails");
    });
  }
  done.wait();
}

}  // namespace
}  // namespace llava::serve
