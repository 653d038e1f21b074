// SPDX-License-Identifier: Apache-2.0
//
// Expected values were computed with transformers 4.57.
#include "llava/model/rope.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "llava/core/float_formats.h"

namespace llava::model {
namespace {

TEST(RopeFrequencies, PlainTheta) {
  const auto frequencies = rope_frequencies({.theta = 1e4}, 128, 4096, 1);
  EXPECT_FLOAT_EQ(frequencies[0], 1.0f);
  EXPECT_FLOAT_EQ(frequencies[1], 0.86596435f);
  EXPECT_FLOAT_EQ(frequencies[2], 0.74989420f);
  EXPECT_FLOAT_EQ(frequencies[31], 0.01154782f);
  EXPECT_FLOAT_EQ(frequencies[63], 1.1547819e-4f);
}

TEST(RopeFrequencies, Llama3Scaling) {
  const RopeConfig config{.theta = 5e5,
                          .scaling = RopeScaling::kLlama3,
                          .factor = 8,
                          .low_freq_factor = 1,
                          .high_freq_factor = 4,
                          .original_max_position_embeddings = 64};
  const auto frequencies = rope_frequencies(config, 16, 4096, 1);
  EXPECT_NEAR(frequencies[0], 1.0f, 1e-6f);
  EXPECT_NEAR(frequencies[1], 0.079403f, 1e-6f);
  EXPECT_NEAR(frequencies[2], 0.00470075f, 1e-8f);
  EXPECT_NEAR(frequencies[3], 0.000911583f, 1e-9f);
}

TEST(RopeFrequencies, LinearScalingDividesPositions) {
  const auto plain = rope_frequencies({.theta = 1e4}, 16, 64, 1);
  const auto scaled =
      rope_frequencies({.theta = 1e4, .scaling = RopeScaling::kLinear, .factor = 4}, 16, 64, 1);
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_FLOAT_EQ(scaled[i] * 4, plain[i]);
}

TEST(RopeFrequencies, DynamicScalingBeginsBeyondTheTrainedLength) {
  const RopeConfig config{.theta = 1e4, .scaling = RopeScaling::kDynamic, .factor = 2};
  EXPECT_EQ(rope_frequencies(config, 16, 64, 64), rope_frequencies({.theta = 1e4}, 16, 64, 64));
  // theta * ((2 * 128 / 64) - 1) ^ (16 / 14)
  const double theta = 1e4 * std::pow(3.0, 16.0 / 14.0);
  EXPECT_EQ(rope_frequencies(config, 16, 64, 128), rope_frequencies({.theta = theta}, 16, 64, 1));
}

TEST(RopeTables, AreRoundedToTheDtypeAndRepeatTheFirstHalf) {
  DecoderConfig config;
  config.head_dim = 128;
  const std::array<int32_t, 2> positions{1, 1000};
  const RopeTables tables = rope_tables(config, positions, DType::kFloat16);
  const auto cosines = tables.cos_TE.data<uint16_t>();
  const auto sines = tables.sin_TE.data<uint16_t>();
  EXPECT_EQ(cosines[0], f16_from_float(0.54052734f));
  EXPECT_EQ(sines[0], f16_from_float(0.84130859f));
  EXPECT_EQ(cosines[1], f16_from_float(0.64794922f));
  EXPECT_EQ(sines[1], f16_from_float(0.76171875f));
  EXPECT_EQ(cosines[128], f16_from_float(0.5625f));
  EXPECT_EQ(sines[128], f16_from_float(0.82666016f));
  EXPECT_EQ(cosines[128 + 63], f16_from_float(0.99316406f));
  EXPECT_EQ(sines[128 + 63], f16_from_float(0.11523438f));
  for (std::size_t i = 0; i < 64; ++i) EXPECT_EQ(cosines[i], cosines[i + 64]);
}

}  // namespace
}  // namespace llava::model
