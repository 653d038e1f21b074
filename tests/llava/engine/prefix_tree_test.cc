// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/prefix_tree.h"

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "llava/core/error.h"

namespace llava::engine {
namespace {

using Symbols = std::vector<Symbol>;
using Pages = std::vector<int32_t>;

Symbols text(std::string_view letters) {
  Symbols symbols;
  for (const char letter : letters) symbols.push_back({.image = 0, .value = letter});
  return symbols;
}

Symbols picture(uint64_t number, int32_t num_rows) {
  Symbols symbols;
  for (int32_t row = 0; row < num_rows; ++row) symbols.push_back({.image = number, .value = row});
  return symbols;
}

Symbols operator+(Symbols a, const Symbols& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class PrefixTreeTest : public testing::Test {
 protected:
  explicit PrefixTreeTest(int32_t page_size = 1) : blocks_(200, page_size), tree_(blocks_) {}

  // Runs a whole request: match, compute the rest, insert, give back. Returns the tokens it reused.
  int32_t run(std::string_view scope, const Symbols& symbols) {
    Pages pages;
    PrefixLock lock = tree_.match(scope, symbols, pages);
    const int32_t num_cached = lock.num_pages * blocks_.page_size();
    finish(lock, symbols, pages);
    return num_cached;
  }

  void finish(PrefixLock& lock, const Symbols& symbols, Pages& pages) {
    const auto needed =
        static_cast<std::size_t>(blocks_.pages_for(static_cast<int64_t>(symbols.size())));
    while (pages.size() < needed) pages.push_back(blocks_.allocate());
    tree_.insert(lock, symbols, pages);
    for (auto i = static_cast<std::size_t>(lock.num_pages); i < pages.size(); ++i) {
      blocks_.release(pages[i]);
    }
    tree_.unlock(lock);
    tree_.check_consistency();
  }

  KvBlocks blocks_;
  PrefixTree tree_;
};

class PrefixTreeOfPagesTest : public PrefixTreeTest, public testing::WithParamInterface<int32_t> {
 protected:
  PrefixTreeOfPagesTest() : PrefixTreeTest(GetParam()) {}
};

// Serving 7.9, E5, for every length and every common prefix.
TEST_P(PrefixTreeOfPagesTest, ReusesAllFullPagesButTheLastToken) {
  const int32_t page_size = GetParam();
  const Symbols base = picture(1, 2 * page_size) + text("the same question about it");
  for (std::size_t length = 1; length <= base.size(); ++length) {
    for (std::size_t common = 0; common <= length; common += 5) {
      Symbols prompt(base.begin(), base.begin() + static_cast<std::ptrdiff_t>(length));
      for (std::size_t i = common; i < length; ++i) prompt[i].value += 10000;
      PrefixTree tree(blocks_);
      Pages pages;
      PrefixLock lock = tree.match("", base, pages);
      while (pages.size() * static_cast<std::size_t>(page_size) < base.size()) {
        pages.push_back(blocks_.allocate());
      }
      tree.insert(lock, base, pages);
      Pages found;
      PrefixLock second = tree.match("", prompt, found);
      const auto usable = static_cast<int32_t>(std::min(common, length - 1));
      ASSERT_EQ(second.num_pages, usable / page_size) << "length " << length << " of " << common;
      ASSERT_TRUE(std::equal(found.begin(), found.end(), pages.begin()));
      tree.unlock(second);
      for (auto i = static_cast<std::size_t>(lock.num_pages); i < pages.size(); ++i) {
        blocks_.release(pages[i]);
      }
      tree.unlock(lock);
      tree.check_consistency();
      tree.evict(blocks_.num_pages());
      ASSERT_EQ(blocks_.num_used(), 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(PageSizes, PrefixTreeOfPagesTest, testing::Values(1, 8, 16, 64),
                         testing::PrintToStringParamName());

TEST_F(PrefixTreeTest, SharesAPictureUnderDifferentQuestions) {
  const Symbols seen = text("USER: ") + picture(7, 20);
  EXPECT_EQ(run("", seen + text("colour?")), 0);
  EXPECT_EQ(run("", seen + text("shape?")), 26);
  EXPECT_EQ(run("", text("USER: ") + picture(8, 20) + text("colour?")), 6)
      << "another picture of the same size shares the text before it";
  EXPECT_EQ(run("", seen + text("colours")), 32);
  EXPECT_EQ(tree_.num_pages(), 26 + 7 + 6 + 27 + 1);
}

TEST_F(PrefixTreeTest, ScopesShareNothing) {
  EXPECT_EQ(run("tenant a", text("hello there")), 0);
  EXPECT_EQ(run("tenant b", text("hello there")), 0);
  EXPECT_EQ(run("tenant a", text("hello there")), 10);
  EXPECT_EQ(tree_.peek("tenant c", text("hello there")), 0);
  EXPECT_EQ(tree_.peek("tenant b", text("hello you")), 6);
}

TEST_F(PrefixTreeTest, AHeldPathIsNotEvicted) {
  run("", text("abcdef"));
  Pages pages;
  PrefixLock lock = tree_.match("", text("abcX"), pages);
  EXPECT_EQ(pages.size(), 3u);
  EXPECT_EQ(tree_.num_evictable(), 3);
  EXPECT_EQ(tree_.evict(100), 3);
  EXPECT_EQ(tree_.num_pages(), 3);
  for (const int32_t page : pages) EXPECT_EQ(blocks_.references(page), 1);
  tree_.unlock(lock);
  EXPECT_EQ(tree_.evict(100), 3);
  EXPECT_EQ(blocks_.num_used(), 0);
}

TEST_F(PrefixTreeTest, EvictsThePathUsedLongestAgoFromItsEnd) {
  run("", text("commonold"));
  run("", text("commonnew"));
  EXPECT_EQ(tree_.evict(2), 2);
  EXPECT_EQ(tree_.peek("", text("commonold!")), 7);
  EXPECT_EQ(tree_.peek("", text("commonnew!")), 9);
  EXPECT_EQ(tree_.evict(2), 2);
  EXPECT_EQ(tree_.peek("", text("commonold!")), 6);
  EXPECT_EQ(tree_.peek("", text("commonnew!")), 8);
}

TEST_F(PrefixTreeTest, TwoSequencesThatComputedTheSameKeepOne) {
  const Symbols prompt = text("same prompt");
  Pages mine, theirs;
  PrefixLock my_lock = tree_.match("", prompt, mine);
  PrefixLock their_lock = tree_.match("", prompt, theirs);
  EXPECT_TRUE(mine.empty() && theirs.empty());
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    mine.push_back(blocks_.allocate());
    theirs.push_back(blocks_.allocate());
  }
  const Pages original = mine;
  tree_.insert(my_lock, prompt, mine);
  EXPECT_EQ(mine, original);
  tree_.insert(their_lock, prompt, theirs);
  EXPECT_EQ(theirs, original) << "the second sequence goes on with the pages of the first";
  EXPECT_EQ(blocks_.num_used(), static_cast<int32_t>(prompt.size()));
  EXPECT_EQ(tree_.counters().duplicate_pages, static_cast<int64_t>(prompt.size()));
  tree_.unlock(my_lock);
  EXPECT_EQ(tree_.num_evictable(), 0);
  tree_.unlock(their_lock);
  tree_.check_consistency();
}

TEST_F(PrefixTreeTest, AGrowingSequenceIsInsertedAPieceAtATime) {
  Symbols symbols = text("a");
  Pages pages;
  PrefixLock lock = tree_.match("", symbols, pages);
  for (int32_t i = 0; i < 50; ++i) {
    pages.push_back(blocks_.allocate());
    tree_.insert(lock, symbols, pages);
    EXPECT_EQ(lock.num_pages, i + 1);
    symbols.push_back({.image = 0, .value = i});
    tree_.check_consistency();
  }
  PrefixLock branch = tree_.share(lock);
  Symbols other = symbols;
  other.back().value = 1000;
  Pages other_pages = pages;
  pages.push_back(blocks_.allocate());
  other_pages.push_back(blocks_.allocate());
  tree_.insert(lock, symbols, pages);
  tree_.insert(branch, other, other_pages);
  tree_.unlock(lock);
  EXPECT_EQ(tree_.num_evictable(), 1);
  tree_.unlock(branch);
  EXPECT_EQ(tree_.num_evictable(), 52);
  tree_.check_consistency();
}

TEST_F(PrefixTreeTest, APinnedPrefixStaysUntilItIsUnpinned) {
  Pages pages;
  const Symbols prompt = text("pinned prefix");
  PrefixLock lock = tree_.match("", prompt, pages);
  while (pages.size() < prompt.size()) pages.push_back(blocks_.allocate());
  tree_.insert(lock, prompt, pages);
  tree_.pin("mine", lock);
  tree_.unlock(lock);
  EXPECT_EQ(tree_.evict(100), 0);
  ASSERT_NE(tree_.find_pin("mine"), nullptr);
  Symbols symbols;
  Pages pinned;
  tree_.collect(*tree_.find_pin("mine"), symbols, pinned);
  EXPECT_EQ(symbols, prompt);
  EXPECT_EQ(pinned, pages);

  EXPECT_EQ(run("", text("pinned")), 5);
  PrefixLock shorter = tree_.match("", text("pinned!"), pages);
  tree_.pin("mine", shorter);
  tree_.unlock(shorter);
  EXPECT_EQ(tree_.evict(100), 7) << "the name holds the shorter path now";
  EXPECT_TRUE(tree_.unpin("mine"));
  EXPECT_FALSE(tree_.unpin("mine"));
  EXPECT_EQ(tree_.evict(100), 6);
  EXPECT_EQ(tree_.num_pages(), 0);
  tree_.check_consistency();
}

TEST_F(PrefixTreeTest, CountsWhatItSaved) {
  run("", text("0123456789"));
  run("", text("0123456789"));
  const PrefixTreeCounters& counters = tree_.counters();
  EXPECT_EQ(counters.queries, 2);
  EXPECT_EQ(counters.query_tokens, 20);
  EXPECT_EQ(counters.hit_tokens, 9);
  EXPECT_EQ(counters.inserted_pages, 10);
  EXPECT_EQ(counters.duplicate_pages, 1);
  EXPECT_EQ(counters.evicted_pages, 0);
  EXPECT_EQ(tree_.num_tokens(), 10);
}

TEST_F(PrefixTreeTest, ALockIsGivenBackOnce) {
  Pages pages;
  PrefixLock lock = tree_.match("", text("ab"), pages);
  tree_.unlock(lock);
  EXPECT_FALSE(lock.is_held());
  EXPECT_THROW(tree_.unlock(lock), Error);
  EXPECT_THROW(tree_.share(lock), Error);
}

}  // namespace
}  // namespace llava::engine
