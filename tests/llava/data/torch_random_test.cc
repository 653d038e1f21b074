// SPDX-License-Identifier: Apache-2.0
#include "llava/data/torch_random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "support/paths.h"

namespace llava::data {
namespace {

using ::testing::ElementsAre;

TEST(TorchRandom, DrawsWhatTorchDraws) {
  TorchRandom seeded(42);
  EXPECT_EQ(seeded.draw_seed(), 6909045637428952499);
  EXPECT_EQ(seeded.draw_seed(), 8314211556539077902);

  TorchRandom again(42);
  EXPECT_THAT(again.randperm(10), ElementsAre(2, 6, 1, 8, 4, 5, 0, 9, 3, 7));
  EXPECT_THAT(again.randperm(10), ElementsAre(3, 5, 8, 9, 4, 6, 1, 0, 7, 2));

  TorchRandom fresh;
  EXPECT_THAT(fresh.randperm(10), ElementsAre(0, 3, 7, 5, 2, 9, 8, 1, 4, 6));
  EXPECT_THAT(fresh.randperm(10), ElementsAre(9, 3, 7, 4, 8, 2, 0, 6, 5, 1));
}

TEST(TorchRandom, IsTheStandardTwister) {
  TorchRandom random(5489);
  for (int i = 1; i < 10'000; ++i) random.random();
  EXPECT_EQ(random.random(), 4123659995U);  // the C++ standard's check of mt19937
}

TEST(TorchRandom, AgreesWithRecordedDraws) {
  const Json golden = read_json_file(test_data() / "train_order" / "orders.json");
  for (const Json& item : golden.at("generators")) {
    TorchRandom random(item.at("seed").get<uint64_t>());
    for (const Json& seed : item.at("seeds")) EXPECT_EQ(random.draw_seed(), seed.get<int64_t>());
    for (const Json& order : item.at("permutations")) {
      EXPECT_EQ(random.randperm(static_cast<int64_t>(order.size())),
                order.get<std::vector<int64_t>>());
    }
    EXPECT_EQ(random.draw_seed(), item.at("last").get<int64_t>());
  }
}

TEST(TorchRandom, GoesOnFromASavedPosition) {
  TorchRandom random(7);
  for (int i = 0; i < 1000; ++i) random.random();
  const std::string saved = random.save();
  const uint64_t expected = random.random64();
  TorchRandom other(1);
  other.restore(saved);
  EXPECT_EQ(other.random64(), expected);
  EXPECT_EQ(other, random);
}

TEST(TorchRandom, RefusesWhatItDidNotSave) {
  TorchRandom random(7);
  const TorchRandom before = random;
  EXPECT_THROW(random.restore("short"), Error);
  std::string beyond = random.save();
  beyond[beyond.size() - 3] = '\x7f';
  EXPECT_THROW(random.restore(beyond), Error);
  EXPECT_EQ(random, before);
  EXPECT_THROW(random.randperm(-1), Error);
  EXPECT_THROW(random.randperm(214'748'364), Error);
}

}  // namespace
}  // namespace llava::data
