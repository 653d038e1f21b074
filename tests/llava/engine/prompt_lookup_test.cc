// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/prompt_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/random.h"

namespace llava::engine {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int32_t> drafted(PromptLookup& lookup, int32_t limit = 100) {
  const auto draft = lookup.draft(limit);
  return {draft.begin(), draft.end()};
}

TEST(PromptLookup, DraftsWhatFollowedTheLastTime) {
  PromptLookup lookup({.min_match = 2, .max_match = 3, .max_draft = 3},
                      std::vector<int32_t>{1, 2, 3, 4, 5, 1, 2, 9, 8, 7, 1});
  EXPECT_THAT(drafted(lookup), IsEmpty());
  lookup.append(2);
  EXPECT_THAT(drafted(lookup), ElementsAre(9, 8, 7));
  EXPECT_THAT(drafted(lookup, 2), ElementsAre(9, 8));
  EXPECT_THAT(drafted(lookup, 0), IsEmpty());
}

TEST(PromptLookup, PrefersTheLongerMatch) {
  PromptLookup lookup({.min_match = 1, .max_match = 3, .max_draft = 1},
                      std::vector<int32_t>{1, 2, 3, 4, 9, 3, 5, 1, 2, 3});
  EXPECT_THAT(drafted(lookup), ElementsAre(4));
}

TEST(PromptLookup, PicturesMatchNothingAndAreNotDrafted) {
  PromptLookup lookup({.min_match = 2, .max_match = 2, .max_draft = 4},
                      std::vector<int32_t>{-1, -1, -1, -1, 7, 8, 9, -2, -2, 7, 8});
  EXPECT_THAT(drafted(lookup), ElementsAre(9));
  PromptLookup pictures({}, std::vector<int32_t>{-1, -1, -1, -1, -1});
  EXPECT_THAT(drafted(pictures), IsEmpty());
}

TEST(PromptLookup, LengthFollowsWhatIsAccepted) {
  std::vector<int32_t> period;
  for (int32_t i = 0; i < 60; ++i) period.push_back(i % 20);
  PromptLookup lookup({.max_draft = 8}, period);
  EXPECT_EQ(drafted(lookup).size(), 3u);
  lookup.report(3, 3);
  EXPECT_EQ(drafted(lookup).size(), 5u);
  lookup.report(5, 5);
  lookup.report(7, 7);
  EXPECT_EQ(drafted(lookup).size(), 8u);
  lookup.report(8, 1);
  EXPECT_EQ(drafted(lookup).size(), 2u);
  EXPECT_EQ(lookup.num_drafted(), 23);
  EXPECT_EQ(lookup.num_accepted(), 16);
}

TEST(PromptLookup, PausesLongerAndLongerWhileDraftsAreWrong) {
  PromptLookup lookup({}, std::vector<int32_t>(50, 3));
  int num_drafts = 0;
  for (int step = 0; step < 400; ++step) {
    const auto num_drafted = static_cast<int32_t>(lookup.draft(100).size());
    num_drafts += num_drafted > 0 ? 1 : 0;
    lookup.report(num_drafted, 0);
  }
  EXPECT_GT(num_drafts, 5);
  EXPECT_LT(num_drafts, 15);
}

TEST(PromptLookup, RefusesSettingsThatCannotBe) {
  for (const PromptLookupParams& params :
       {PromptLookupParams{.min_match = 0}, PromptLookupParams{.min_match = 5, .max_match = 4},
        PromptLookupParams{.max_match = 17}, PromptLookupParams{.max_draft = 0},
        PromptLookupParams{.cost_per_token = -1}}) {
    EXPECT_THROW(PromptLookup(params, {}), Error);
  }
}

// The definition: what followed the latest earlier place of the longest match; -1 if nothing did.
int32_t latest_continuation(const std::vector<int32_t>& ids, const PromptLookupParams& params) {
  const auto is_picture = [](int32_t id) { return id < 0; };
  for (int32_t size = params.max_match; size >= params.min_match; --size) {
    if (static_cast<std::size_t>(size) >= ids.size()) continue;
    const auto newest = ids.end() - size;
    if (std::any_of(newest, ids.end(), is_picture)) continue;
    for (auto end = ids.end() - 1; end - ids.begin() >= size; --end) {
      if (!std::equal(newest, ids.end(), end - size)) continue;
      if (*end >= 0) return *end;
      break;  // a picture: a shorter match is tried
    }
  }
  return -1;
}

TEST(PromptLookup, AgreesWithASearchOverAllPlaces) {
  constexpr uint64_t kSeed = 5;
  SCOPED_TRACE(kSeed);
  Generator generator(kSeed);
  const PromptLookupParams params{.min_match = 1, .max_match = 4, .max_draft = 1};
  PromptLookup lookup(params, {});
  std::vector<int32_t> ids;
  for (int step = 0; step < 3000; ++step) {
    const auto id = static_cast<int32_t>(generator.below(7)) - 1;
    ids.push_back(id);
    lookup.append(id);
    const auto draft = lookup.draft(1);
    const int32_t expected = latest_continuation(ids, params);
    ASSERT_EQ(draft.empty() ? -1 : draft[0], expected) << step;
  }
}

}  // namespace
}  // namespace llava::engine
