// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/kv_blocks.h"

#include <gtest/gtest.h>

#include <set>

#include "llava/core/error.h"
#include "llava/core/random.h"

namespace llava::engine {
namespace {

TEST(KvBlocks, HandsOutEveryPageOnceAndThenRefuses) {
  KvBlocks blocks(3, 16);
  std::set<int32_t> pages{blocks.allocate(), blocks.allocate(), blocks.allocate()};
  EXPECT_EQ(pages, (std::set<int32_t>{0, 1, 2}));
  try {
    blocks.allocate();
    FAIL() << "a fourth page of three";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
  }
}

TEST(KvBlocks, FreesAPageWithItsLastReference) {
  KvBlocks blocks(1, 16);
  const int32_t page = blocks.allocate();
  blocks.retain(page);
  blocks.release(page);
  EXPECT_EQ(blocks.num_free(), 0);
  blocks.release(page);
  EXPECT_EQ(blocks.num_free(), 1);
  EXPECT_THROW(blocks.release(page), Error);
  EXPECT_THROW(blocks.retain(page), Error);
}

TEST(KvBlocks, KnowsItsPageSizesAndCounts) {
  for (const int32_t size : {1, 8, 16, 64}) {
    KvBlocks blocks(5, size);
    EXPECT_EQ(blocks.page_size(), size);
    EXPECT_EQ(blocks.pages_for(0), 0);
    EXPECT_EQ(blocks.pages_for(size), 1);
    EXPECT_EQ(blocks.pages_for(size + 1), 2);
    const int32_t page = blocks.allocate();
    blocks.retain(page);
    EXPECT_EQ(blocks.references(page), 2);
    EXPECT_EQ(blocks.num_used(), 1);
    EXPECT_EQ(blocks.num_free(), 4);
  }
  for (const int32_t size : {0, -1, 2, 32, 128}) EXPECT_THROW(KvBlocks(5, size), Error) << size;
}

TEST(KvBlocks, NeverLeaksOrSharesUnderRandomUse) {
  constexpr uint64_t kSeed = 5;
  SCOPED_TRACE(kSeed);
  Generator generator(kSeed);
  constexpr int32_t kPages = 16;
  KvBlocks blocks(kPages, 16);
  std::multiset<int32_t> references;
  for (int i = 0; i < 20000; ++i) {
    const uint64_t choice = generator.below(3);
    if (choice == 0 && blocks.num_free() > 0) {
      const int32_t page = blocks.allocate();
      ASSERT_FALSE(references.contains(page));
      references.insert(page);
    } else if (!references.empty()) {
      auto it = references.begin();
      std::advance(it, static_cast<int64_t>(generator.below(references.size())));
      const int32_t page = *it;
      if (choice == 1) {
        blocks.retain(page);
        references.insert(page);
      } else {
        blocks.release(page);
        references.erase(it);
      }
    }
    const std::set<int32_t> in_use(references.begin(), references.end());
    ASSERT_EQ(blocks.num_free(), kPages - static_cast<int32_t>(in_use.size()));
  }
}

}  // namespace
}  // namespace llava::engine
