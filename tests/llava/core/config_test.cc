// SPDX-License-Identifier: Apache-2.0
#include "llava/core/config.h"

#include <gtest/gtest.h>

namespace llava {
namespace {

TEST(ConfigTest, NearestNameForgivesAThirdOfTheName) {
  const std::vector<std::string> known{"temperature", "top_p", "top_k", "seed", "max_new_tokens"};
  EXPECT_EQ(nearest_name("temprature", known), "temperature");
  EXPECT_EQ(nearest_name("max-new-tokens", known), "max_new_tokens");
  EXPECT_EQ(nearest_name("sed", known), "seed");
  EXPECT_EQ(nearest_name("seed", known), "seed");
  EXPECT_EQ(nearest_name("top_q", known), "top_p");
  EXPECT_EQ(nearest_name("colour", known), std::nullopt);
  EXPECT_EQ(nearest_name("x", {"y"}), "y");
  EXPECT_EQ(nearest_name("", {}), std::nullopt);
}

TEST(ConfigTest, ConstraintsIncludeTheirEnds) {
  const auto low = at_least(0.5f);
  EXPECT_TRUE(low.accepts(0.5f));
  EXPECT_FALSE(low.accepts(0.4f));
  EXPECT_EQ(low.expected, "at least 0.5");

  const auto range = in_range(1, 10);
  EXPECT_TRUE(range.accepts(1));
  EXPECT_TRUE(range.accepts(10));
  EXPECT_FALSE(range.accepts(0));
  EXPECT_FALSE(range.accepts(11));
  EXPECT_EQ(range.expected, "from 1 to 10");

  const auto words = one_of({"cpu", "cuda"});
  EXPECT_TRUE(words.accepts("cuda"));
  EXPECT_FALSE(words.accepts("CUDA"));
  EXPECT_EQ(words.expected, "one of cpu cuda");

  EXPECT_TRUE(Constraint<int>{}.accepts(-1));
}

TEST(ConfigTest, NotANumberIsInNoRange) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(at_least(0.0f).accepts(nan));
  EXPECT_FALSE(in_range(0.0f, 1.0f).accepts(nan));
}

}  // namespace
}  // namespace llava
