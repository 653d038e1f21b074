// SPDX-License-Identifier: Apache-2.0
#include "llava/train/block_codes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "llava/core/hash.h"
#include "llava/core/json.h"
#include "support/paths.h"

namespace llava::train {
namespace {

constexpr int64_t kColumns = 64;

// The matrix of make_codes.py.
std::vector<float> golden_matrix() {
  std::vector<float> values(4096 * kColumns);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits = static_cast<uint32_t>(i * 2654435761u + 12345u);
    const float v = static_cast<float>(static_cast<int32_t>(bits)) * 0x1p-31f;
    values[i] = v * v * v;
  }
  return values;
}

std::string digest(std::span<const uint8_t> bytes) { return to_hex(sha256(std::as_bytes(bytes))); }

std::vector<uint8_t> first(std::span<const uint8_t> bytes) {
  return {bytes.begin(), bytes.begin() + 16};
}

double sum(std::span<const float> values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

class BlockCodesTest : public ::testing::Test {
 protected:
  const std::vector<float> values_ = golden_matrix();
  const Json golden_ = read_json_file(test_data() / "train_codes" / "codes.json");
};

TEST_F(BlockCodesTest, AreThoseOfThePublishedFormulas) {
  for (const auto& [name, type] :
       {std::pair{"nf4", CodeType::kNf4}, std::pair{"fp4", CodeType::kFp4}}) {
    const Json& expected = golden_[name];
    const BlockCodes plain = quantize_blocks(values_, type, /*double_quant=*/false, kColumns);
    EXPECT_EQ(first(plain.codes), expected["first_codes"].get<std::vector<uint8_t>>()) << name;
    EXPECT_EQ(digest(plain.codes), expected["codes_sha256"]) << name;
    EXPECT_NEAR(sum(plain.scales), expected["scales_sum"].get<double>(), 1e-9);
    EXPECT_EQ(plain.num_bytes(), 4096 * kColumns * 9 / 16);

    const BlockCodes nested = quantize_blocks(values_, type, /*double_quant=*/true, kColumns);
    EXPECT_EQ(nested.codes, plain.codes);
    EXPECT_EQ(first(nested.scale_codes), expected["first_scale_codes"].get<std::vector<uint8_t>>());
    EXPECT_EQ(digest(nested.scale_codes), expected["scale_codes_sha256"]);
    EXPECT_NEAR(nested.offset, expected["offset"].get<float>(), 1e-7f);
    for (std::size_t i = 0; i < nested.scale_maxima.size(); ++i) {
      EXPECT_NEAR(nested.scale_maxima[i], expected["maxima"][i].get<float>(), 1e-7f);
    }
    // Steps of the map are at most 0.0141 wide; a scale is off by half of one.
    const std::vector<float> scales = block_scales(nested);
    for (std::size_t i = 0; i < scales.size(); ++i) {
      EXPECT_NEAR(scales[i], plain.scales[i], 0.0071f * nested.scale_maxima[i / 256]);
    }
  }
}

TEST_F(BlockCodesTest, RowsOfInt8) {
  const BlockCodes codes = quantize_blocks(values_, CodeType::kInt8, true, kColumns);
  EXPECT_EQ(digest(codes.codes), golden_["int8"]["codes_sha256"]);
  EXPECT_NEAR(sum(codes.scales), golden_["int8"]["scales_sum"].get<double>(), 1e-9);
  std::vector<float> decoded(values_.size());
  dequantize_range(codes, block_scales(codes), 0, codes.num_values, decoded.data());
  for (std::size_t i = 0; i < values_.size(); ++i) {
    EXPECT_NEAR(decoded[i], values_[i], codes.scales[i / 64] / 253.9f);
  }
}

TEST(BlockCodes, TheExampleOfTheFormat) {
  std::vector<float> block(64, 0.0f);
  block[0] = 0.1f;
  block[1] = -0.5f;
  block[2] = 0.25f;
  block[3] = 1.0f;
  const BlockCodes codes = quantize_blocks(block, CodeType::kNf4, false, 64);
  EXPECT_EQ(codes.scales, std::vector<float>{1.0f});
  EXPECT_EQ(codes.codes[0], 0x82);
  EXPECT_EQ(codes.codes[1], 0xAF);
  for (std::size_t i = 2; i < 32; ++i) EXPECT_EQ(codes.codes[i], 0x77);
}

TEST(BlockCodes, TheMapOfScales) {
  const std::span<const float> map = scale_map();
  ASSERT_EQ(map.size(), 256u);
  EXPECT_FLOAT_EQ(map[0], -0.992968738f);
  EXPECT_FLOAT_EQ(map[1], -0.978906214f);
  EXPECT_EQ(map[127], 0.0f);
  EXPECT_FLOAT_EQ(map[128], 5.5e-7f);
  EXPECT_FLOAT_EQ(map[254], 0.992968738f);
  EXPECT_EQ(map[255], 1.0f);
  double magnitudes = 0;
  for (const float entry : map) magnitudes += std::abs(static_cast<double>(entry));
  EXPECT_NEAR(magnitudes, 75.105263, 1e-5);
}

TEST(BlockCodes, BlocksOfZerosAndOddEnds) {
  const std::vector<float> values(67, 0.0f);
  for (const bool nested : {false, true}) {
    const BlockCodes codes = quantize_blocks(values, CodeType::kNf4, nested, 67);
    EXPECT_EQ(codes.codes.size(), 34u);
    std::vector<float> decoded(67, 1.0f);
    dequantize_range(codes, block_scales(codes), 0, 67, decoded.data());
    EXPECT_EQ(decoded, values);
  }
}

}  // namespace
}  // namespace llava::train
