// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/worker/concurrency_gate.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace llava::serve {
namespace {

TEST(ConcurrencyGate, OthersWaitInOrder) {
  const auto gate = std::make_shared<ConcurrencyGate>(2);
  std::vector<int> order;
  std::vector<Permit> permits;
  std::vector<uint64_t> numbers;
  for (int i = 0; i < 5; ++i) {
    numbers.push_back(gate->enter([&, i](Permit permit) {
      order.push_back(i);
      permits.push_back(std::move(permit));
    }));
  }
  EXPECT_EQ(order, (std::vector<int>{0, 1}));
  EXPECT_EQ(gate->num_running(), 2);
  EXPECT_EQ(gate->num_waiting(), 3);
  gate->leave(numbers[2]);
  gate->leave(numbers[0]);  // it is in: nothing to forget
  EXPECT_EQ(gate->num_waiting(), 2);
  Permit first = std::move(permits[0]);
  first = nullptr;
  EXPECT_EQ(order, (std::vector<int>{0, 1, 3}));
  EXPECT_EQ(gate->num_running(), 2);
  std::vector<Permit> rest = std::move(permits);
  permits = {};
  rest.clear();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 3, 4}));
  permits.clear();
  EXPECT_EQ(gate->num_running(), 0);
}

TEST(ConcurrencyGate, NeverMoreThanItsLimit) {
  const auto gate = std::make_shared<ConcurrencyGate>(3);
  std::atomic<int> num_inside{0};
  std::atomic<int> most{0};
  std::atomic<int> num_done{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 500; ++i) {
          gate->enter([&](const Permit&) {
            const int inside = ++num_inside;
            for (int seen = most.load();
                 seen < inside && !most.compare_exchange_weak(seen, inside);) {
            }
            --num_inside;
            ++num_done;
          });
        }
      });
    }
  }
  EXPECT_EQ(num_done, 4000);
  EXPECT_LE(most, 3);
  EXPECT_EQ(gate->num_running(), 0);
  EXPECT_EQ(gate->num_waiting(), 0);
}

}  // namespace
}  // namespace llava::serve
