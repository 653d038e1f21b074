// SPDX-License-Identifier: Apache-2.0
#include "llava/train/block_allocator.h"

#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace llava::train {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

// The blocks are the process's: each test looks at differences.
TEST(BlockAllocator, AFreedBlockServesTheNextRequestOfItsSize) {
  BlockAllocator allocator;
  const BlockBytes before = allocator.bytes();
  c10::DataPtr first = allocator.allocate(40 * kMiB);
  const void* const place = first.get();
  EXPECT_EQ(allocator.bytes().used, before.used + 40 * kMiB);
  first.clear();
  EXPECT_EQ(allocator.bytes().used, before.used);
  const c10::DataPtr second = allocator.allocate(39 * kMiB);
  EXPECT_EQ(second.get(), place);
  std::memset(second.get(), 1, 39 * kMiB);
}

TEST(BlockAllocator, IdleBlocksGoBeforeMoreIsTakenThanEver) {
  BlockAllocator allocator;
  allocator.release_idle();
  {
    std::vector<c10::DataPtr> many;
    for (int i = 0; i < 8; ++i) many.push_back(allocator.allocate(10 * kMiB));
  }
  const BlockBytes full = allocator.bytes();
  EXPECT_EQ(full.idle, 80 * kMiB);
  // No idle block is so large, and some make room.
  const c10::DataPtr large = allocator.allocate(75 * kMiB);
  const BlockBytes after = allocator.bytes();
  EXPECT_LE(after.used + after.idle, (full.used + full.idle) / 16 * 17);
  EXPECT_EQ(after.idle, 10 * kMiB);
  allocator.release_idle();
  EXPECT_EQ(allocator.bytes().idle, 0U);
}

TEST(BlockAllocator, ABlockMuchLargerThanAskedStaysIdle) {
  BlockAllocator allocator;
  c10::DataPtr large = allocator.allocate(200 * kMiB);
  const void* const place = large.get();
  large.clear();
  const c10::DataPtr small = allocator.allocate(2 * kMiB);
  EXPECT_NE(small.get(), place);
}

TEST(BlockAllocator, LibTorchUsesIt) {
  BlockAllocator& allocator = use_block_allocator();
  EXPECT_EQ(&allocator, &use_block_allocator());
  const std::size_t before = allocator.bytes().used;
  at::Tensor x = at::full({1 << 20}, 2.0F);
  EXPECT_EQ(allocator.bytes().used, before + 4 * kMiB);
  EXPECT_EQ(x.sum().item<float>(), 2.0F * (1 << 20));
  x.reset();
  EXPECT_EQ(allocator.bytes().used, before);
}

// Convolutions take and free their scratch memory like this.
TEST(BlockAllocator, ServesRawRequests) {
  BlockAllocator allocator;
  const std::size_t before = allocator.bytes().used;
  for (const std::size_t num_bytes : {std::size_t{64}, 3 * kMiB}) {
    void* const start = allocator.raw_allocate(num_bytes);
    std::memset(start, 1, num_bytes);
    allocator.raw_deallocate(start);
  }
  EXPECT_EQ(allocator.bytes().used, before);
}

TEST(BlockAllocator, SaysWhatItCannotHave) {
  BlockAllocator allocator;
  EXPECT_THROW(allocator.allocate(std::size_t{1} << 60), c10::Error);
}

}  // namespace
}  // namespace llava::train
