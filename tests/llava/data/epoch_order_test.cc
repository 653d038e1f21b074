// SPDX-License-Identifier: Apache-2.0
#include "llava/data/epoch_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "llava/core/error.h"
#include "llava/core/json.h"
#include "llava/data/length_groups.h"
#include "llava/data/picture_groups.h"
#include "llava/data/rank_batches.h"
#include "support/paths.h"

namespace llava::data {
namespace {

using ::testing::ElementsAre;
using Order = std::vector<int64_t>;
using Batches = std::vector<Order>;

const std::vector<int32_t> kLengths = {12,  -7, 30, 5, -20, 18, 9,  -3, 25, 14,
                                       -11, 40, 8,  6, -16, 21, 33, 2,  -9, 17};

std::vector<int32_t> absolute(std::vector<int32_t> lengths) {
  for (int32_t& length : lengths) length = std::abs(length);
  return lengths;
}

TEST(EpochOrderTest, SamplesOfAPictureStayTogether) {
  const std::vector<uint64_t> keys{5, 9, 5, 0, 9, 9, 0, 7};
  const std::vector<int32_t> numbers = number_keys(keys);
  EXPECT_THAT(numbers, ElementsAre(0, 1, 0, -1, 1, 1, -1, 2));
  EpochOrder order({.num_samples = 8, .grouping = Grouping::kPicture, .lengths = numbers});
  std::vector<Order> epochs;
  for (int epoch = 0; epoch < 8; ++epoch) {
    epochs.push_back(order.next_order());
    Order sorted = epochs.back();
    std::ranges::sort(sorted);
    EXPECT_THAT(sorted, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
    for (const Order& group : {Order{0, 2}, Order{1, 4, 5}}) {
      EXPECT_FALSE(std::ranges::search(epochs.back(), group).empty());
    }
  }
  EXPECT_NE(epochs[0], epochs[1]);
  EpochOrder again({.num_samples = 8, .grouping = Grouping::kPicture, .lengths = numbers});
  EXPECT_EQ(again.next_order(), epochs[0]);
}

TorchRandom global_of_42() {
  TorchRandom random(42);
  random.draw_seed();
  return random;
}

Grouping grouping_of(const std::string& name) {
  if (name == "modality") return Grouping::kModalityLength;
  return name == "length" ? Grouping::kLength : Grouping::kNone;
}

TEST(EpochOrder, ShufflesAsTheTrainerDoes) {
  EpochOrder alone({.num_samples = 10});
  EXPECT_THAT(alone.next_order(), ElementsAre(8, 0, 9, 1, 4, 5, 6, 3, 2, 7));
  EpochOrder two({.num_samples = 10, .world_size = 2, .seed = 1});  // no seed changes it
  EXPECT_THAT(two.next_order(), ElementsAre(0, 3, 7, 5, 2, 9, 8, 1, 4, 6));
  EXPECT_THAT(two.next_order(), ElementsAre(6, 4, 2, 9, 5, 1, 0, 7, 3, 8));
}

TEST(EpochOrder, GroupsModalities) {
  TorchRandom global = global_of_42();
  TorchRandom fresh;
  EXPECT_THAT(order_by_modality(kLengths, {2, 2}, global, fresh),
              ElementsAre(16, 3, 5, 9, 4, 18, 14, 10, 11, 17, 15, 0, 8, 12, 19, 6, 1, 2, 7, 13));
  for (const GroupShape& shape : {GroupShape{2, 1}, GroupShape{1, 2}}) {
    global = global_of_42();
    fresh = TorchRandom();
    EXPECT_THAT(order_by_modality(kLengths, shape, global, fresh),
                ElementsAre(4, 14, 8, 6, 10, 18, 11, 17, 16, 3, 15, 0, 19, 12, 5, 9, 1, 2, 7, 13));
  }
  global = global_of_42();
  EXPECT_THAT(order_by_modality(kLengths, {2, 2}, global, global),
              ElementsAre(11, 17, 15, 0, 4, 18, 14, 10, 8, 12, 19, 6, 16, 3, 5, 9, 1, 2, 7, 13));
}

TEST(EpochOrder, GroupsOneModality) {
  TorchRandom global = global_of_42();
  TorchRandom fresh;
  EXPECT_THAT(order_by_modality(absolute(kLengths), {2, 2}, global, fresh),
              ElementsAre(0, 13, 10, 18, 19, 17, 1, 3, 16, 6, 8, 15, 11, 7, 5, 14, 2, 12, 4, 9));
  EXPECT_EQ(global, global_of_42());
  EXPECT_THAT(order_by_modality(absolute(kLengths), {2, 2}, global, global),
              ElementsAre(16, 9, 2, 15, 19, 6, 14, 0, 11, 18, 5, 10, 12, 3, 1, 13, 8, 17, 4, 7));
}

TEST(EpochOrder, SharesBatchesAmongRanks) {
  Order order(13);
  std::iota(order.begin(), order.end(), 0);
  const std::span<const int64_t> all(order);
  const BatchShare two{.batch_size = 2, .world_size = 2};
  EXPECT_EQ(rank_batches(all.first(11), two, 0), (Batches{{0, 1}, {4, 5}, {8, 9}}));
  EXPECT_EQ(rank_batches(all.first(11), two, 1), (Batches{{2, 3}, {6, 7}, {10, 0}}));
  const BatchShare four{.batch_size = 2, .world_size = 4};
  EXPECT_EQ(rank_batches(all.first(9), four, 0), (Batches{{0, 1}, {8, 0}}));
  EXPECT_EQ(rank_batches(all.first(9), four, 1), (Batches{{2, 3}, {1, 2}}));
  EXPECT_EQ(rank_batches(all.first(9), four, 2), (Batches{{4, 5}, {3, 4}}));
  EXPECT_EQ(rank_batches(all.first(9), four, 3), (Batches{{6, 7}, {5, 6}}));
  const BatchShare wide{.batch_size = 4, .world_size = 2};
  EXPECT_EQ(rank_batches(all, wide, 0), (Batches{{0, 1, 2, 3}, {8, 9, 10, 11}}));
  EXPECT_EQ(rank_batches(all, wide, 1), (Batches{{4, 5, 6, 7}, {12, 0, 1, 2}}));
  EXPECT_EQ(rank_batches(all.first(5), {.batch_size = 2}, 0), (Batches{{0, 1}, {2, 3}, {4}}));
}

// What a resumed run with other batches does: the rest of the epoch is cut anew.
TEST(EpochOrder, BeginsInTheMiddle) {
  const Order order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  const BatchShare share{.batch_size = 2, .world_size = 2, .first_sample = 3};
  EXPECT_EQ(num_rank_batches(10, share), 2);
  EXPECT_EQ(rank_batches(order, share, 0), (Batches{{3, 4}, {7, 8}}));
  EXPECT_EQ(rank_batches(order, share, 1), (Batches{{5, 6}, {9, 0}}));
  EXPECT_EQ(num_rank_batches(10, {.batch_size = 4, .first_sample = 10}), 0);
  EXPECT_THROW(num_rank_batches(10, {.batch_size = 4, .first_sample = 11}), Error);
}

TEST(EpochOrder, FillsRanksFromLittleData) {
  const Order order = {5, 6, 7};
  const BatchShare share{.batch_size = 2, .world_size = 4};
  EXPECT_EQ(rank_batches(order, share, 1), (Batches{{7, 5}}));
  EXPECT_EQ(rank_batches(order, share, 2), (Batches{{6, 7}}));
  EXPECT_EQ(rank_batches(order, share, 3), (Batches{{5, 6}}));
}

// Every order and every rank's batches of three epochs, recorded from the published packages.
TEST(EpochOrder, AgreesWithThePublishedSamplers) {
  const Json golden = read_json_file(test_data() / "train_order" / "orders.json");
  ASSERT_GT(golden.at("orders").size(), 50U);
  for (const Json& item : golden.at("orders")) {
    const OrderOptions options{.num_samples = item.at("samples").get<int64_t>(),
                               .batch_size = item.at("batch").get<int32_t>(),
                               .world_size = item.at("world").get<int32_t>(),
                               .accumulation = item.at("accumulation").get<int32_t>(),
                               .seed = item.at("seed").get<uint64_t>(),
                               .grouping = grouping_of(item.at("grouping").get<std::string>()),
                               .lengths = item.at("lengths").get<std::vector<int32_t>>()};
    const BatchShare share{.batch_size = options.batch_size,
                           .world_size = options.world_size,
                           .drop_last = item.at("drop_last").get<bool>()};
    for (int32_t rank = 0; rank < options.world_size; ++rank) {
      EpochOrder order(options);
      for (const Json& epoch : item.at("ranks").at(static_cast<std::size_t>(rank))) {
        const Batches batches = rank_batches(order.next_order(), share, rank);
        EXPECT_EQ(static_cast<int64_t>(batches.size()),
                  num_rank_batches(options.num_samples, share));
        ASSERT_EQ(batches, epoch.get<Batches>())
            << item.at("grouping") << " of " << item.at("name") << ", batches of "
            << options.batch_size << ", rank " << rank << " of " << options.world_size;
      }
    }
  }
}

// The order in which whole runs of the original saw their samples, where those are present.
TEST(EpochOrder, AgreesWithWholeRuns) {
  namespace fs = std::filesystem;
  const fs::path golden = source_folder() / ".." / "shared" / "golden" / "orig";
  if (!fs::exists(golden / "train")) GTEST_SKIP() << golden << " is not there";
  for (const auto& run : fs::directory_iterator(golden / "train")) {
    if (!fs::exists(run.path() / "expected.json")) continue;
    const Json expected = read_json_file(run.path() / "expected.json");
    const Json flags = read_json_file(run.path() / "run.json").at("flags");
    const Json data = read_json_file(golden / flags.at("data_path").get<std::string>());
    if (!expected.contains("order")) continue;
    OrderOptions options{.num_samples = static_cast<int64_t>(data.size()),
                         .batch_size = flags.at("per_device_train_batch_size").get<int32_t>(),
                         .accumulation = flags.at("gradient_accumulation_steps").get<int32_t>(),
                         .seed = flags.at("seed").get<uint64_t>()};
    if (flags.value("group_by_modality_length", false)) {
      options.grouping = Grouping::kModalityLength;
      for (const Json& sample : data) {
        int32_t words = 0;
        for (const Json& turn : sample.at("conversations")) {
          std::istringstream text(turn.at("value").get<std::string>());
          for (std::string word; text >> word;) ++words;
        }
        options.lengths.push_back(sample.contains("image") ? words : -words);
      }
    }
    EpochOrder order(std::move(options));
    const auto wanted = expected.at("order").get<Order>();
    Order found;
    while (found.size() < wanted.size()) {
      const Order epoch = order.next_order();
      found.insert(found.end(), epoch.begin(), epoch.end());
    }
    found.resize(wanted.size());
    EXPECT_EQ(found, wanted) << run.path().filename();
  }
}

TEST(EpochOrder, RefusesWhatCannotBe) {
  EXPECT_THROW(EpochOrder({.num_samples = 0}), Error);
  EXPECT_THROW(EpochOrder({.num_samples = 4, .batch_size = 0}), Error);
  EXPECT_THROW(EpochOrder({.num_samples = 4, .grouping = Grouping::kLength, .lengths = {1}}),
               Error);
  EpochOrder zero({.num_samples = 2, .grouping = Grouping::kModalityLength, .lengths = {1, 0}});
  EXPECT_THROW(zero.next_order(), Error);
}

}  // namespace
}  // namespace llava::data
