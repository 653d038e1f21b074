// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/replica_chooser.h"

#include <gtest/gtest.h>

#include <vector>

#include "fake_engine.h"

namespace llava::engine {
namespace {

constexpr int32_t kPictureTokens = 64;
constexpr ReplicaLoad kFull{.num_open = 0, .has_room = false};

ReplicaLoad open(int32_t count) { return {.num_open = count}; }

// 20 tokens that all have in common, a picture, and a question of its own.
GenerationRequest question(int32_t picture, int32_t text, int32_t length = 40) {
  std::vector<int32_t> ids(static_cast<std::size_t>(20 + kPictureTokens + length), text);
  std::fill_n(ids.begin(), 20, 7);
  return fake_request(std::move(ids), {{picture, 20}}, kPictureTokens, 8);
}

GenerationRequest text(std::vector<int32_t> ids) {
  return fake_request(std::move(ids), {}, kPictureTokens, 8);
}

TEST(ReplicaChooser, TakesTheLeastBusy) {
  ReplicaChooser chooser(3);
  EXPECT_EQ(chooser.choose(question(1, 1), std::vector{open(3), open(1), open(2)}), 1);
  EXPECT_EQ(chooser.choose(question(2, 1), std::vector{open(0), open(0), open(0)}), 0);
}

TEST(ReplicaChooser, QuestionsAboutAPictureStayTogether) {
  ReplicaChooser chooser(2);
  EXPECT_EQ(chooser.choose(question(1, 1), std::vector{open(4), open(3)}), 1);
  EXPECT_EQ(chooser.choose(question(1, 2), std::vector{open(3), open(4)}), 1);
  EXPECT_EQ(chooser.choose(question(2, 2), std::vector{open(3), open(4)}), 0);
}

TEST(ReplicaChooser, ButNotWhereItIsMuchBusier) {
  ReplicaChooser chooser(2);
  const std::vector first_is_idle{open(0), open(4)};
  EXPECT_EQ(chooser.choose(question(1, 1), std::vector{open(4), open(0)}), 1);
  EXPECT_EQ(chooser.choose(question(1, 2), first_is_idle), 0);
  // Now both know the picture.
  EXPECT_EQ(chooser.choose(question(1, 3), std::vector{open(4), open(3)}), 1);
  EXPECT_EQ(chooser.choose(question(1, 4), std::vector{open(3), open(4)}), 0);
}

TEST(ReplicaChooser, AShortCommonBeginningIsNoReason) {
  ReplicaChooser chooser(2);
  EXPECT_EQ(chooser.choose(question(1, 1, 400), std::vector{open(1), open(0)}), 1);
  EXPECT_EQ(chooser.choose(question(1, 2, 400), std::vector{open(1), open(1)}), 0);
}

TEST(ReplicaChooser, AConversationStaysWhereItBegan) {
  ReplicaChooser chooser(2);
  std::vector<int32_t> ids(45, 3);
  EXPECT_EQ(chooser.choose(text(ids), std::vector{open(1), open(0)}), 1);
  ids.resize(80, 4);
  EXPECT_EQ(chooser.choose(text(ids), std::vector{open(3), open(4)}), 1);
  ids.resize(150, 5);
  EXPECT_EQ(chooser.choose(text(ids), std::vector{open(3), open(4)}), 1);
}

TEST(ReplicaChooser, SaltsAreKeptApart) {
  ReplicaChooser chooser(2);
  GenerationRequest request = question(1, 1);
  request.cache_salt = "one";
  EXPECT_EQ(chooser.choose(request, std::vector{open(4), open(3)}), 1);
  EXPECT_EQ(chooser.choose(question(1, 1), std::vector{open(3), open(4)}), 0);
}

TEST(ReplicaChooser, APinIsFoundAgainHoweverBusy) {
  ReplicaChooser chooser(2);
  GenerationRequest request = question(1, 1);
  request.pin = "picture";
  EXPECT_EQ(chooser.choose(request, std::vector{open(4), open(3)}), 1);
  EXPECT_EQ(chooser.choose(request, std::vector{open(0), open(40)}), 1);
}

TEST(ReplicaChooser, NoneIsGivenWhatItHasNoRoomFor) {
  ReplicaChooser chooser(2);
  GenerationRequest request = question(1, 1);
  request.pin = "picture";
  EXPECT_EQ(chooser.choose(request, std::vector{open(9), kFull}), 0);
  EXPECT_EQ(chooser.choose(request, std::vector{kFull, open(9)}), 1);
  EXPECT_EQ(chooser.choose(question(5, 1), std::vector{kFull, open(9)}), 1);
}

}  // namespace
}  // namespace llava::engine
