// SPDX-License-Identifier: Apache-2.0
#include "llava/hub/chunk.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace llava::hub {
namespace {

const std::string kContent = "0123456789";

ResponseHead whole_answer() {
  ResponseHead head;
  head.status = 200;
  head.content_length = kContent.size();
  return head;
}

ResponseHead part_answer(uint64_t begin, uint64_t size = 10) {
  ResponseHead head;
  head.status = 206;
  head.content_range = ContentRange{.begin = begin, .end = size, .size = size};
  return head;
}

class ChunkTest : public ::testing::Test {
 protected:
  ChunkReceiver receiver(const Chunk& chunk) {
    return {chunk, kContent.size(), [this](std::string_view bytes) { taken_ += bytes; }};
  }

  std::string taken_;
};

TEST_F(ChunkTest, PartsOverSeveralAnswers) {
  auto chunk = receiver({.begin = 2, .end = 8});
  EXPECT_TRUE(chunk.needs_range());
  chunk.begin_answer();
  EXPECT_TRUE(chunk.take(part_answer(2), "23"));
  EXPECT_TRUE(chunk.take(part_answer(2), "4"));
  EXPECT_EQ(chunk.at(), 5u);
  chunk.begin_answer();
  EXPECT_TRUE(chunk.take(part_answer(5), "567"));
  EXPECT_TRUE(chunk.is_done());
  EXPECT_EQ(taken_, "234567");
}

TEST_F(ChunkTest, OtherPartsThanAskedForAreRefused) {
  for (const ResponseHead& head : {part_answer(3), part_answer(2, 11)}) {
    auto chunk = receiver({.begin = 2, .end = 8});
    chunk.begin_answer();
    EXPECT_FALSE(chunk.take(head, "x"));
    EXPECT_FALSE(chunk.found_no_ranges());
  }
  ResponseHead without_range = part_answer(2);
  without_range.content_range.reset();
  auto chunk = receiver({.begin = 2, .end = 8});
  EXPECT_FALSE(chunk.take(without_range, "x"));
  auto longer = receiver({.begin = 2, .end = 8});
  EXPECT_FALSE(longer.take(part_answer(2), "2345678"));
  EXPECT_EQ(taken_, "");
}

TEST_F(ChunkTest, EverythingInAnswerToAPartShowsThatThereAreNoRanges) {
  auto chunk = receiver({.begin = 2, .end = 8});
  chunk.begin_answer();
  EXPECT_FALSE(chunk.take(whole_answer(), kContent));
  EXPECT_TRUE(chunk.found_no_ranges());
  EXPECT_EQ(taken_, "");
}

TEST_F(ChunkTest, AStreamSkipsWhatIsThere) {
  auto chunk = receiver({.begin = 4, .end = 10, .is_streamed = true});
  EXPECT_FALSE(chunk.needs_range());
  chunk.begin_answer();
  for (const char c : kContent.substr(0, 7)) {
    EXPECT_TRUE(chunk.take(whole_answer(), std::string(1, c)));
  }
  EXPECT_EQ(taken_, "456");
  chunk.begin_answer();  // the connection broke
  EXPECT_TRUE(chunk.take(whole_answer(), kContent));
  EXPECT_TRUE(chunk.is_done());
  EXPECT_EQ(taken_, "456789");
}

TEST_F(ChunkTest, AWholeFileNeedsNoRangeUntilAPartIsThere) {
  auto chunk = receiver({.begin = 0, .end = 10});
  EXPECT_FALSE(chunk.needs_range());
  chunk.begin_answer();
  EXPECT_TRUE(chunk.take(whole_answer(), "0123"));
  EXPECT_TRUE(chunk.needs_range());
  chunk.begin_answer();
  EXPECT_TRUE(chunk.take(whole_answer(), kContent));
  EXPECT_TRUE(chunk.is_done());
  EXPECT_EQ(taken_, kContent);
}

TEST_F(ChunkTest, AFileOfAnotherSizeIsRefused) {
  auto chunk = receiver({.begin = 0, .end = 10});
  ResponseHead head = whole_answer();
  head.content_length = 11;
  EXPECT_FALSE(chunk.take(head, "0"));
  EXPECT_FALSE(chunk.found_no_ranges());
  auto longer = receiver({.begin = 0, .end = 10});
  head.content_length.reset();
  EXPECT_FALSE(longer.take(head, "01234567890"));
}

}  // namespace
}  // namespace llava::hub
