// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/cache_writer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <stdexcept>
#include <vector>

namespace llava::engine {
namespace {

TEST(CacheWriter, DoesEverythingInOrder) {
  std::vector<int> done;
  {
    CacheWriter writer(10);
    for (int i = 0; i < 100; ++i) writer.add(i % 15, [&done, i] { done.push_back(i); });
  }
  ASSERT_EQ(done.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(done[static_cast<std::size_t>(i)], i);
}

TEST(CacheWriter, BoundsWhatWaits) {
  CacheWriter writer(10);
  std::latch may_end(1);
  std::atomic<bool> is_added = false;
  writer.add(20, [&] { may_end.wait(); });
  std::jthread other([&] {
    writer.add(1, [] {});
    is_added = true;
  });
  EXPECT_FALSE(is_added);
  may_end.count_down();
  other.join();
  EXPECT_TRUE(is_added);
  writer.flush();
}

TEST(CacheWriter, GoesOnAfterAFailure) {
  testing::internal::CaptureStderr();
  bool is_done = false;
  {
    CacheWriter writer(10);
    writer.add(1, [] { throw std::runtime_error("the reason"); });
    writer.add(1, [&] { is_done = true; });
    writer.flush();
  }
  EXPECT_TRUE(is_done);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("the reason"), std::string::npos);
}

}  // namespace
}  // namespace llava::engine
