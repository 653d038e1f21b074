// SPDX-License-Identifier: Apache-2.0
//
// Ranks agree on sums, and a command that fails anywhere leaves them ready for the next one.
#include "llava/engine/parallel/model_ranks.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "llava/backend/native/native_backend.h"
#include "llava/core/descriptor.h"
#include "llava/core/error.h"

namespace llava::engine {
namespace {

constexpr int kNumFollowers = 2;

/// A rank in a thread of its own, with a backend of its own.
class Follower {
 public:
  using CarryOut = std::function<std::vector<std::byte>(Context& ctx, FollowingRank& rank,
                                                        const RankCommand& command)>;

  Follower(int32_t number, RankLink link, CarryOut carry_out)
      : socket_(::dup(link.descriptor())),
        rank_({.rank = number, .num_ranks = kNumFollowers + 1}, std::move(link)),
        thread_([this, carry_out = std::move(carry_out)] {
          ThreadPool pool(1);
          const auto backend = native::make_native_backend(pool);
          Context ctx{*backend, &pool};
          rank_.follow("a model",
                       [&](const RankCommand& command) { return carry_out(ctx, rank_, command); });
        }) {}

  /// As if its process had ended.
  void end() const { ::shutdown(socket_.get(), SHUT_RDWR); }

 private:
  Descriptor socket_;
  FollowingRank rank_;
  std::jthread thread_;
};

class ModelRanksTest : public testing::Test {
 protected:
  // Every rank adds up {number, number + 0.5} as often as a command says; rank `fails` gives up
  // before the sum number `at`.
  ModelRanksTest() {
    std::vector<RankLink> links;
    for (int32_t number = 1; number <= kNumFollowers; ++number) {
      auto [own, other] = RankLink::pair();
      links.push_back(std::move(own));
      followers_.emplace_back(std::make_unique<Follower>(
          number, std::move(other),
          [number](Context& ctx, FollowingRank& rank, const RankCommand& command) {
            add(ctx, rank, number, command.what);
            return command.payload;
          }));
    }
    leader_.emplace(std::move(links));
    leader_->wait_until_ready("a model");
  }

  template <class Rank>
  static std::vector<float> add(Context& ctx, Rank& rank, int32_t number, const Json& what) {
    std::vector<float> last;
    for (int i = 0; i < what.at("sums").get<int>(); ++i) {
      if (what.value("fails", -1) == number && what.value("at", 0) == i) {
        fail(ErrorCode::kResourceExhausted, "rank {} has no memory", number);
      }
      const auto value = static_cast<float>(number);
      const Tensor sum = rank.sum(ctx, Tensor::from_floats({2}, std::vector{value, value + 0.5f}));
      last.assign(sum.data<float>().begin(), sum.data<float>().end());
    }
    return last;
  }

  std::vector<std::vector<std::byte>> together(const Json& what,
                                               std::span<const std::byte> payload = {}) {
    return leader_->together(what, payload, [&] { last_ = add(ctx_, *leader_, 0, what); });
  }

  ThreadPool pool_{1};
  std::unique_ptr<Backend> backend_ = native::make_native_backend(pool_);
  Context ctx_{*backend_, &pool_};
  std::optional<LeadingRank> leader_;
  std::vector<std::unique_ptr<Follower>> followers_;
  std::vector<float> last_;

  // The followers end when their links do, before they are waited for.
  void TearDown() override { leader_.reset(); }
};

TEST_F(ModelRanksTest, AddsUpAndGivesResults) {
  const std::vector<std::byte> payload{std::byte{7}, std::byte{9}};
  const auto results = together({{"sums", 3}}, payload);
  EXPECT_EQ(last_, (std::vector<float>{3.0f, 4.5f}));
  EXPECT_EQ(results, (std::vector<std::vector<std::byte>>{payload, payload}));
}

TEST_F(ModelRanksTest, WaitsForALostRank) {
  const auto [stop, other_stop] = RankLink::pair();
  other_stop.shut_down();
  EXPECT_EQ(leader_->wait_for_lost(stop), std::nullopt);

  const auto [never, other_never] = RankLink::pair();
  std::optional<int32_t> lost;
  std::jthread watch([&] { lost = leader_->wait_for_lost(never); });
  followers_[1]->end();
  watch.join();
  EXPECT_EQ(lost, 2);
}

TEST_F(ModelRanksTest, WhatIsNoFrameLosesTheRank) {
  auto [own, other] = RankLink::pair();
  std::vector<RankLink> links;
  links.push_back(std::move(own));
  LeadingRank leader(std::move(links));
  const uint64_t frame[2] = {999, 0};  // no kind of frame
  ASSERT_EQ(::write(other.descriptor(), frame, sizeof(frame)), 16);
  EXPECT_THROW(leader.wait_until_ready("a model"), Error);
  const auto [never, other_never] = RankLink::pair();
  EXPECT_EQ(leader.wait_for_lost(never), 1);
}

TEST_F(ModelRanksTest, AFailureAnywhereEndsTheCommandAlone) {
  for (int32_t number = 0; number <= kNumFollowers; ++number) {
    for (int at = 0; at < 3; ++at) {
      SCOPED_TRACE(std::to_string(number) + " before sum " + std::to_string(at));
      try {
        together({{"sums", 3}, {"fails", number}, {"at", at}});
        ADD_FAILURE() << "nothing failed";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted);
        EXPECT_EQ(std::string(error.what()), "rank " + std::to_string(number) + " has no memory");
      }
      together({{"sums", 1}});
      EXPECT_EQ(last_, (std::vector<float>{3.0f, 4.5f}));
    }
  }
}

TEST_F(ModelRanksTest, AFailureAfterTheLastSumIsFound) {
  EXPECT_THROW(leader_->together({{"sums", 1}}, {},
                                 [&] {
                                   add(ctx_, *leader_, 0, {{"sums", 1}});
                                   throw std::bad_alloc();
                                 }),
               std::bad_alloc);
  together({{"sums", 2}});
  EXPECT_EQ(last_, (std::vector<float>{3.0f, 4.5f}));
}

TEST(RankLink, KnowsWhenTheOtherEndIsGone) {
  auto [own, other] = RankLink::pair();
  other.send(FrameKind::kReply, {});
  { const RankLink ended = std::move(other); }
  std::vector<std::byte> bytes;
  EXPECT_EQ(own.receive(bytes, kRankPatience), FrameKind::kReply);
  EXPECT_THROW(own.receive(bytes, kRankPatience), Error);
  EXPECT_THROW(own.send(FrameKind::kReply, {}), Error);
}

TEST(RankLink, DoesNotWaitForEver) {
  auto [own, other] = RankLink::pair();
  std::vector<std::byte> bytes;
  try {
    own.receive(bytes, std::chrono::seconds(0));
    ADD_FAILURE() << "something came";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnavailable);
  }
}

}  // namespace
}  // namespace llava::engine
