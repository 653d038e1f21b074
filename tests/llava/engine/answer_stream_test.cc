// SPDX-License-Identifier: Apache-2.0
#include "llava/engine/answer_stream.h"

#include <gtest/gtest.h>

namespace llava::engine {
namespace {

AnswerDelta delta_of(std::string text) {
  AnswerDelta delta;
  delta.text = std::move(text);
  return delta;
}

TEST(AnswerStreamTest, ReadersHearOncePerAnnouncement) {
  AnswerStream stream;
  int num_calls = 0;
  stream.on_change([&] { ++num_calls; });
  stream.push(delta_of("a"));
  stream.push(delta_of("b"));
  EXPECT_EQ(num_calls, 0);
  stream.announce();
  EXPECT_EQ(num_calls, 1);
  EXPECT_EQ(stream.try_next()->text, "ab");
  // There is nothing that has not been said.
  stream.announce();
  EXPECT_EQ(num_calls, 1);
  stream.push(delta_of("c"));
  stream.end({});
  EXPECT_EQ(num_calls, 2);
  stream.announce();
  EXPECT_EQ(num_calls, 2);
  EXPECT_EQ(stream.try_next()->text, "c");
  EXPECT_TRUE(stream.is_ended());
}

}  // namespace
}  // namespace llava::engine
