// SPDX-License-Identifier: Apache-2.0
#include "llava/serve/gateway/known_workers.h"

#include <gtest/gtest.h>

#include <set>

namespace llava::serve {
namespace {

using Names = std::vector<std::string>;

TEST(KnownWorkers, AreUsedForAMinute) {
  KnownWorkers known;
  const KnownWorkers::TimePoint begin{};
  known.remember("m", "a", begin);
  known.remember("m", "b", begin + std::chrono::seconds(30));
  known.remember("other", "c", begin);
  std::set<std::string> chosen;
  for (int i = 0; i < 100; ++i) chosen.insert(*known.choose("m", {}, begin + kKnownTime));
  EXPECT_EQ(chosen, (std::set<std::string>{"a", "b"}));
  EXPECT_EQ(known.choose("m", Names{"b"}, begin + kKnownTime), "a");
  EXPECT_EQ(known.choose("m", Names{"a", "b"}, begin + kKnownTime), std::nullopt);
  EXPECT_EQ(known.choose("m", {}, begin + kKnownTime + std::chrono::seconds(1)), "b");
  known.forget("b");
  EXPECT_EQ(known.choose("m", {}, begin + kKnownTime + std::chrono::seconds(1)), std::nullopt);
  EXPECT_EQ(known.choose("nothing", {}, begin), std::nullopt);
}

TEST(KnownWorkers, TheListOfModelsToo) {
  KnownWorkers known;
  const KnownWorkers::TimePoint begin{};
  EXPECT_EQ(known.models(begin), std::nullopt);
  known.remember_models({"m"}, begin);
  EXPECT_EQ(known.models(begin + kKnownTime), Names{"m"});
  EXPECT_EQ(known.models(begin + kKnownTime + std::chrono::seconds(1)), std::nullopt);
}

}  // namespace
}  // namespace llava::serve
