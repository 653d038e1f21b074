// SPDX-License-Identifier: Apache-2.0
#include "llava/train/rank_group.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "llava/train/parameter_shards.h"
#include "train_ranks.h"

namespace llava::train {
namespace {

TEST(RankGroupTest, TellsEachOther) {
  run_as_ranks(3, [](RankGroup& group) {
    const int32_t rank = group.rank();
    std::vector<double> values{1.0, 0.1 * rank};
    group.sum(values);
    EXPECT_EQ(values, (std::vector<double>{3.0, 0.0 + 0.1 + 0.2}));
    EXPECT_TRUE(group.any(rank == 2));
    EXPECT_FALSE(group.any(false));
    // Each has another number of values, one none at all.
    const auto all = group.gather(std::vector<double>(static_cast<std::size_t>(rank), rank));
    EXPECT_EQ(all, (std::vector<std::vector<double>>{{}, {1}, {2, 2}}));
    EXPECT_EQ(group.gather(std::string(1, static_cast<char>('a' + rank))),
              (std::vector<std::string>{"a", "b", "c"}));
  });
}

TEST(RankGroupTest, SumsPartsInTheOrderOfTheRanks) {
  run_as_ranks(3, [](RankGroup& group) {
    const auto rank = static_cast<float>(group.rank());
    // Only in this order is the sum of 1e8, -1e8 and 1 one.
    const float mine = rank == 0 ? 1e8f : rank == 1 ? -1e8f : 1.0f;
    const at::Tensor sum = group.sum_parts(at::full({3, 2}, mine));
    EXPECT_TRUE(sum.equal(at::full({2}, 1.0f))) << sum.sum().item<float>();
    const at::Tensor halves = group.sum_parts(at::full({3, 2}, 1.0f, at::kBFloat16));
    EXPECT_EQ(halves.scalar_type(), at::kFloat);
    EXPECT_TRUE(halves.equal(at::full({2}, 3.0f)));
    const at::Tensor all = group.gather_parts(at::full({2}, rank));
    EXPECT_EQ(all.sum().item<float>(), 6.0f);
    EXPECT_EQ(all[2][1].item<float>(), 2.0f);
    const at::Tensor first = group.gather_parts_to_first(at::full({2}, rank));
    EXPECT_EQ(first.defined(), group.is_first());
    if (first.defined()) {
      EXPECT_TRUE(first.equal(all));
    }
  });
}

TEST(RankGroupTest, OneAloneTalksToNobody) {
  RankGroup alone;
  double value = 2;
  alone.sum({&value, 1});
  EXPECT_EQ(value, 2);
  EXPECT_EQ(alone.sum_parts(at::full({1, 4}, 2.0f)).sum().item<float>(), 8.0f);
  EXPECT_EQ(alone.gather(std::string("x")).size(), 1U);
  alone.leave_failed(ErrorCode::kInternal, "nobody hears this");
}

TEST(RankGroupTest, ARankThatFailsEndsTheOthersWithItsMessage) {
  run_as_ranks(3, [](RankGroup& group) {
    if (group.rank() == 1) {
      group.leave_failed(ErrorCode::kBadFormat, "sample 7 is torn");
      return;
    }
    try {
      group.any(false);
      ADD_FAILURE() << "rank " << group.rank() << " heard nothing";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kBadFormat);
      EXPECT_STREQ(error.what(), "rank 1 of 3: sample 7 is torn");
      group.leave_failed(error.code(), error.what());
    }
  });
}

TEST(RankGroupTest, TheFirstOneCanFailToo) {
  run_as_ranks(3, [](RankGroup& group) {
    if (group.is_first()) {
      group.leave_failed(ErrorCode::kNotFound, "no disk");
      return;
    }
    EXPECT_THROW(group.any(false), Error);
    group.leave_failed(ErrorCode::kUnavailable, "lost");
  });
}

TEST(RankPlaceTest, ComesFromTheEnvironment) {
  const auto set = [](const char* rank, const char* size, const char* port) {
    const auto put = [](const char* name, const char* value) {
      value == nullptr ? ::unsetenv(name) : ::setenv(name, value, 1);
    };
    put("RANK", rank);
    put("WORLD_SIZE", size);
    put("MASTER_PORT", port);
  };
  set(nullptr, nullptr, nullptr);
  EXPECT_EQ(rank_place_of_environment().size, 1);
  set("2", "4", "1234");
  EXPECT_EQ(rank_place_of_environment().rank, 2);
  EXPECT_EQ(rank_place_of_environment().size, 4);
  EXPECT_EQ(rank_place_of_environment().master_port, 1234);
  for (const auto& [rank, size, port] :
       {std::array{"4", "4", "1"}, std::array{"x", "4", "1"}, std::array{"-1", "4", "1"},
        std::array{"0", "4", "70000"}, std::array{"1", "", "1"}}) {
    set(rank, size, port);
    EXPECT_THROW(rank_place_of_environment(), Error) << rank << " of " << size << " at " << port;
  }
  set(nullptr, nullptr, nullptr);
}

// Parameters of two types; three ranks cut them at places of their own.
std::vector<TrainedParameter> parameters() {
  std::vector<TrainedParameter> result;
  result.push_back(make_parameter("a.weight", at::arange(10, at::kFloat).view({2, 5}), at::kFloat));
  result.push_back(make_parameter("a.bias", at::arange(3, at::kFloat), at::kFloat));
  result.push_back(make_parameter("b.weight", at::arange(7, at::kFloat), at::kBFloat16));
  return result;
}

TEST(ParameterShardsTest, EveryElementHasOneOwner) {
  for (const int64_t bucket_size : {int64_t{4}, int64_t{1000}}) {
    run_as_ranks(3, [bucket_size](RankGroup& group) {
      std::vector<TrainedParameter> all = parameters();
      ParameterShards shards(all, group, bucket_size);
      double count = 0;
      for (const TrainedParameter& part : shards.owned()) {
        EXPECT_EQ(part.value.sizes(), part.master.sizes());
        count += static_cast<double>(part.value.numel());
      }
      EXPECT_LE(count, 12.0);
      group.sum({&count, 1});
      EXPECT_EQ(count, 20.0);
      EXPECT_FALSE(all[2].master.defined());
    });
  }
}

TEST(ParameterShardsTest, SumsStepsSharesAndCollects) {
  for (const int64_t bucket_size : {int64_t{4}, int64_t{1000}}) {
    run_as_ranks(3, [bucket_size](RankGroup& group) {
      std::vector<TrainedParameter> all = parameters();
      ParameterShards shards(all, group, bucket_size);
      std::vector<at::Tensor> gradients;
      for (const TrainedParameter& parameter : all) {
        gradients.push_back(parameter.value.detach().to(at::kFloat) + group.rank());
      }
      const std::vector<at::Tensor> sums = shards.sum(gradients, /*in_value_type=*/true);
      for (std::size_t i = 0; i < sums.size(); ++i) {
        TrainedParameter& part = shards.owned()[i];
        // Summed over ranks 0, 1, 2: three times the value, and three.
        EXPECT_TRUE(sums[i].equal(part.master * 3 + 3)) << part.name;
        part.master.copy_(sums[i]);
        part.value.copy_(part.master);
      }
      shards.share_values();
      const std::vector<TrainedParameter> before = parameters();
      for (std::size_t i = 0; i < all.size(); ++i) {
        EXPECT_TRUE(all[i].value.detach().equal(before[i].value.detach() * 3 + 3)) << all[i].name;
      }
      const std::vector<at::Tensor> wholes = shards.collect(sums);
      EXPECT_EQ(wholes.size(), group.is_first() ? 3U : 0U);
      for (std::size_t i = 0; i < wholes.size(); ++i) {
        EXPECT_TRUE(wholes[i].equal(all[i].value.detach().to(at::kFloat)));
      }
      for (std::size_t i = 0; i < shards.owned().size(); ++i) {
        const at::Tensor whole = all[shards.parameter_of(i)].value.detach();
        EXPECT_TRUE(shards.part_of_whole(i, whole).equal(shards.owned()[i].value));
      }
    });
  }
}

}  // namespace
}  // namespace llava::train
