// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/stop.h"

#include <gtest/gtest.h>

#include "llava/core/random.h"

namespace llava::engine {
namespace {

TEST(StopChecker, PassesTextThroughWithoutStopStrings) {
  StopChecker checker({});
  EXPECT_EQ(checker.push("abc"), "abc");
  EXPECT_EQ(checker.finish(), "");
  EXPECT_FALSE(checker.is_stopped());
}

TEST(StopChecker, HoldsBackWhatMayBeginAStopString) {
  StopChecker checker({"###"});
  EXPECT_EQ(checker.push("a#"), "a");
  EXPECT_EQ(checker.push("#"), "");
  EXPECT_EQ(checker.push("b"), "##b");
  EXPECT_EQ(checker.push("c##"), "c");
  EXPECT_EQ(checker.push("#d"), "");
  EXPECT_TRUE(checker.is_stopped());
  EXPECT_EQ(checker.push("e"), "");
  EXPECT_EQ(checker.finish(), "");
}

TEST(StopChecker, GivesTheHeldTextAtTheEnd) {
  StopChecker checker({"</s>"});
  EXPECT_EQ(checker.push("x</"), "x");
  EXPECT_EQ(checker.finish(), "</");
}

TEST(StopChecker, TakesTheFirstOfSeveral) {
  StopChecker checker({"world", "lo"});
  EXPECT_EQ(checker.push("hello world"), "hel");
  EXPECT_TRUE(checker.is_stopped());
}

TEST(StopChecker, TakesTheOneThatEndsFirst) {
  StopChecker checker({"bcdef", "de"});
  EXPECT_EQ(checker.push("abcdefg"), "abc");
  EXPECT_EQ(*checker.matched(), "de");
  // The same however it is cut.
  StopChecker again({"bcdef", "de"});
  EXPECT_EQ(again.push("abcd"), "a");
  EXPECT_EQ(again.push("efg"), "bc");
}

TEST(StopChecker, TakesTheLongestOfThoseThatEndTogether) {
  StopChecker checker({"d", "bcd", "cd"});
  EXPECT_EQ(checker.push("abcd"), "a");
  EXPECT_EQ(*checker.matched(), "bcd");
}

TEST(StopChecker, KeepsTheStopStringWhenAsked) {
  StopChecker checker({"##", "b#"}, /*keeps_stop=*/true);
  EXPECT_EQ(checker.push("a#"), "a");
  EXPECT_EQ(checker.push("b#c"), "#b#");
  EXPECT_EQ(checker.finish(), "");
}

TEST(StopChecker, NeverMatchesAnEmptyString) {
  StopChecker checker({""});
  EXPECT_EQ(checker.push("text"), "text");
  EXPECT_FALSE(checker.is_stopped());
}

// However a text is cut into pieces, what is shown is the text up to the stop string that ends
// first.
TEST(StopChecker, DoesNotDependOnTheCuts) {
  constexpr uint64_t kSeed = 11;
  SCOPED_TRACE(kSeed);
  Generator generator(kSeed);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 20; ++i) text += static_cast<char>('a' + generator.below(3));
    const std::vector<std::string> stops{"abca", "bb", "cacb"};
    std::size_t end = text.size();
    std::size_t first_stop_end = std::string::npos;
    for (const std::string& stop : stops) {
      const std::size_t begin = text.find(stop);
      if (begin == std::string::npos || begin + stop.size() > first_stop_end) continue;
      end = begin + stop.size() == first_stop_end ? std::min(end, begin) : begin;
      first_stop_end = begin + stop.size();
    }
    StopChecker checker(stops);
    std::string shown;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t length = 1 + generator.below(4);
      shown += checker.push(text.substr(begin, length));
      begin += length;
    }
    shown += checker.finish();
    ASSERT_EQ(shown, text.substr(0, end)) << text;
  }
}

}  // namespace
}  // namespace llava::engine
