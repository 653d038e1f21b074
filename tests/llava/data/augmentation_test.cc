// SPDX-License-Identifier: Apache-2.0
#include "llava/data/augmentation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <utility>
#include <vector>

namespace llava::data {
namespace {

using ::testing::ElementsAre;

image::PixelValues two_rows() {
  return {.num_tiles = 1, .channels = 1, .height = 2, .width = 3, .values = {1, 2, 3, 4, 5, 6}};
}

TEST(AugmentationTest, MirrorsAndMovesWithTheBorderGoingOn) {
  image::PixelValues pixels = two_rows();
  apply({.is_flipped = true}, pixels);
  EXPECT_THAT(pixels.values, ElementsAre(3, 2, 1, 6, 5, 4));
  pixels = two_rows();
  apply({.right = 1}, pixels);
  EXPECT_THAT(pixels.values, ElementsAre(1, 1, 2, 4, 4, 5));
  pixels = two_rows();
  apply({.right = -2, .down = 1}, pixels);
  EXPECT_THAT(pixels.values, ElementsAre(3, 3, 3, 3, 3, 3));
  pixels = two_rows();
  apply({.is_flipped = true, .right = 1, .down = -1}, pixels);
  EXPECT_THAT(pixels.values, ElementsAre(6, 6, 5, 6, 6, 5));
}

TEST(AugmentationTest, EveryChannelChangesAlike) {
  image::PixelValues pixels{
      .num_tiles = 1, .channels = 2, .height = 1, .width = 2, .values = {1, 2, 3, 4}};
  apply({.is_flipped = true}, pixels);
  EXPECT_THAT(pixels.values, ElementsAre(2, 1, 4, 3));
}

TEST(AugmentationTest, DrawsDependOnSeedEpochAndSampleAlone) {
  const Augmentation both{.flips = true, .max_shift = 2};
  std::set<std::pair<int32_t, int32_t>> shifts;
  int flipped = 0;
  for (int64_t sample = 0; sample < 1000; ++sample) {
    const PictureChange change = draw_change(both, 7, 3, sample);
    EXPECT_EQ(change, draw_change(both, 7, 3, sample));
    EXPECT_LE(std::abs(change.right), 2);
    EXPECT_LE(std::abs(change.down), 2);
    shifts.emplace(change.right, change.down);
    flipped += change.is_flipped ? 1 : 0;
  }
  EXPECT_EQ(shifts.size(), 25u);
  EXPECT_NEAR(flipped, 500, 100);
  int equal = 0;
  for (int64_t sample = 0; sample < 1000; ++sample) {
    equal += draw_change(both, 7, 3, sample) == draw_change(both, 7, 4, sample) ? 1 : 0;
  }
  EXPECT_LT(equal, 100);
}

TEST(AugmentationTest, WithoutFlagsNothingChanges) {
  EXPECT_FALSE(Augmentation{}.is_on());
  for (int64_t sample = 0; sample < 20; ++sample) {
    EXPECT_EQ(draw_change({}, 7, 3, sample), PictureChange{});
  }
}

}  // namespace
}  // namespace llava::data
