// SPDX-License-Identifier: Apache-2.0
#include "llava/data/flat_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <utility>

#include "llava/core/random.h"
#include "llava/text/supervision.h"

namespace llava::data {
namespace {

using ::testing::ElementsAre;

constexpr int32_t kPicture = text::kImageSentinel;
constexpr int32_t kNone = text::kIgnoreLabel;

PreparedPicture picture(uint8_t content, int32_t num_tokens) {
  PreparedPicture made;
  made.content[0] = content;
  made.layout.num_tokens = num_tokens;
  return made;
}

// `trained`: how many ids at the end are.
Sample sample(std::vector<int32_t> ids, std::size_t trained,
              std::vector<PreparedPicture> pictures) {
  Sample made;
  made.labels.assign(ids.size(), kNone);
  for (std::size_t i = ids.size() - trained; i < ids.size(); ++i) made.labels[i] = ids[i];
  made.ids = std::move(ids);
  made.pictures = std::move(pictures);
  return made;
}

FlatBatch batch_of(const std::vector<Sample>& samples, int32_t max_length, bool shares) {
  std::vector<const Sample*> pointers;
  for (const Sample& each : samples) pointers.push_back(&each);
  return make_flat_batch(pointers, max_length, shares);
}

TEST(FlatBatchTest, SamplesOfAPictureShareTheirBeginning) {
  const std::vector<Sample> samples{sample({1, kPicture, 5, 6, 7}, 1, {picture(1, 2)}),
                                    sample({1, kPicture, 5, 8, 9, 10}, 2, {picture(1, 2)}),
                                    sample({1, kPicture, 5, 8, 9, 10}, 2, {picture(2, 2)})};
  const FlatBatch batch = batch_of(samples, 100, true);
  EXPECT_THAT(batch.ids, ElementsAre(1, 0, 0, 5, 6, 7, 8, 9, 10, 1, 0, 0, 5, 8, 9, 10));
  EXPECT_THAT(batch.positions, ElementsAre(0, 1, 2, 3, 4, 5, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6));
  EXPECT_THAT(batch.parts, ElementsAre(BatchPart{4, 0, 0}, BatchPart{2, 0, 4}, BatchPart{3, 0, 4},
                                       BatchPart{7, 0, 0}));
  EXPECT_EQ(batch.pictures.size(), 2u);
  EXPECT_THAT(batch.predicting_rows, ElementsAre(4, 6, 7, 13, 14));
  EXPECT_THAT(batch.targets, ElementsAre(7, 9, 10, 9, 10));
  EXPECT_TRUE(batch.uses_all_feature_rows);
}

TEST(FlatBatchTest, TheLastSharedRowPredictsTheFirstTokenOfEach) {
  const std::vector<Sample> samples{sample({1, kPicture, 6, 7}, 2, {picture(1, 2)}),
                                    sample({1, kPicture, 6, 8}, 2, {picture(1, 2)})};
  const FlatBatch batch = batch_of(samples, 100, true);
  // The first trained token is each sample's own, even where it is the same.
  EXPECT_THAT(batch.parts, ElementsAre(BatchPart{3, 0, 0}, BatchPart{2, 0, 3}, BatchPart{2, 0, 3}));
  EXPECT_THAT(batch.predicting_rows, ElementsAre(2, 3, 2, 5));
  EXPECT_THAT(batch.targets, ElementsAre(6, 7, 6, 8));
}

TEST(FlatBatchTest, NothingIsSharedWithoutAPictureOrWhenItIsCutAway) {
  const std::vector<Sample> words{sample({1, 2, 3, 4}, 1, {}), sample({1, 2, 3, 5}, 1, {})};
  EXPECT_EQ(batch_of(words, 100, true).parts.size(), 2u);
  const std::vector<Sample> pictures{sample({1, kPicture, 6, 7}, 1, {picture(1, 8)}),
                                     sample({1, kPicture, 6, 8}, 1, {picture(1, 8)})};
  EXPECT_THAT(batch_of(pictures, 9, true).parts,
              ElementsAre(BatchPart{9, 0, 0}, BatchPart{9, 0, 0}));
  EXPECT_EQ(batch_of(pictures, 100, false).parts.size(), 2u);
  EXPECT_EQ(batch_of(pictures, 100, true).parts.size(), 3u);
}

// What each trained token sees: the ids of its sequence before it, by position.
std::multimap<int64_t, std::vector<int32_t>> views(const FlatBatch& batch) {
  std::multimap<int64_t, std::vector<int32_t>> found;
  std::vector<std::vector<int32_t>> seen(batch.ids.size());
  std::size_t row = 0;
  for (const BatchPart& part : batch.parts) {
    std::vector<int32_t> before;
    for (int32_t i = 0; i < part.num_past; ++i) {
      before.push_back(batch.ids[static_cast<std::size_t>(part.past_row + i)]);
    }
    for (int32_t i = 0; i < part.num_rows; ++i, ++row) {
      EXPECT_EQ(batch.positions[row], static_cast<int32_t>(before.size()));
      before.push_back(batch.ids[row]);
      seen[row] = before;
    }
  }
  EXPECT_EQ(row, batch.ids.size());
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    found.emplace(batch.targets[i], seen[static_cast<std::size_t>(batch.predicting_rows[i])]);
  }
  return found;
}

TEST(FlatBatchTest, TrainedTokensSeeTheSameWithAndWithoutSharing) {
  const uint64_t seed = 20261129;
  SCOPED_TRACE(seed);
  Generator random(seed);
  const auto below = [&](uint64_t bound) { return random.below(bound); };
  for (int round = 0; round < 300; ++round) {
    std::vector<Sample> samples;
    for (uint64_t i = 0; i < 2 + below(4); ++i) {
      std::vector<int32_t> ids{1};
      std::vector<PreparedPicture> pictures;
      for (uint64_t n = 0; n < 1 + below(9); ++n) {
        if (below(3) == 0) {
          ids.push_back(kPicture);
          pictures.push_back(picture(static_cast<uint8_t>(below(2)), 3));
        }
        ids.push_back(static_cast<int32_t>(2 + below(2)));
      }
      samples.push_back(
          sample(ids, std::min<std::size_t>(below(4), ids.size() - 1), std::move(pictures)));
    }
    const auto max_length = static_cast<int32_t>(1 + below(20));
    EXPECT_EQ(views(batch_of(samples, max_length, true)),
              views(batch_of(samples, max_length, false)))
        << round;
  }
}

}  // namespace
}  // namespace llava::data
