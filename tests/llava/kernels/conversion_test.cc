// SPDX-License-Identifier: Apache-2.0
//
// Conversions between float32 and the 16-bit formats: bit for bit the scalar ones.
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "llava/kernels/kernel_case.h"

namespace llava::kernels {
namespace {

class ConversionTest : public KernelCase {};

class HalfTest : public KernelCase {};

TEST_P(HalfTest, EveryHalfWidens) {
  std::vector<uint16_t> halves(65536);
  for (std::size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
  std::vector<float> got(halves.size());
  std::vector<float> expected(halves.size());
  table().to_float[format()](halves.data(), got.data(), 65536);
  scalar().to_float[format()](halves.data(), expected.data(), 65536);
  for (std::size_t i = 0; i < halves.size(); ++i) {
    if (std::isnan(expected[i])) {
      ASSERT_TRUE(std::isnan(got[i])) << i;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(expected[i])) << i;
    }
  }
}

TEST_P(ConversionTest, NarrowsAsTheScalarOne) {
  std::vector<float> values{0.0f,   -0.0f,      1.0f,       65504.0f,   65519.99f,   65520.0f,
                            -1e30f, 0x1.0p-24f, 0x1.8p-25f, 0x1.0p-25f, 0x1.0p-149f, 0x1.ffp-1f};
  values.push_back(std::numeric_limits<float>::infinity());
  values.push_back(-std::numeric_limits<float>::infinity());
  values.push_back(std::numeric_limits<float>::quiet_NaN());
  values.push_back(std::numeric_limits<float>::max());
  for (int i = 0; i < 100000; ++i) {
    values.push_back(std::bit_cast<float>(static_cast<uint32_t>(generator_())));
    // Around ties of both formats.
    const auto bits = static_cast<uint32_t>(generator_());
    values.push_back(std::bit_cast<float>((bits & 0xFFFF0000u) | 0x8000u | (bits & 1u)));
    values.push_back(std::bit_cast<float>(0x38000000u + (bits & 0x07FFE000u) + 0x1000u));
  }
  const auto count = static_cast<int64_t>(values.size());
  Array got(format(), count);
  Array expected(format(), count);
  table().from_float[format()](values.data(), got.data(), count);
  scalar().from_float[format()](values.data(), expected.data(), count);
  const std::vector<float> a = got.values();
  const std::vector<float> b = expected.values();
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(b[i])) {
      ASSERT_TRUE(std::isnan(a[i])) << values[i];
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(a[i]), std::bit_cast<uint32_t>(b[i])) << values[i];
    }
  }
}

TEST_P(ConversionTest, EveryLengthAndAddress) {
  for (int64_t count = 0; count <= 70; ++count) {
    for (const int64_t misalignment : {0, 1, 3}) {
      const Array in = random_array(count, 5.0f, misalignment);
      Array wide(kFormatF32, count, misalignment);
      Array back(format(), count, misalignment + 1);
      table().to_float[format()](in.data(), static_cast<float*>(wide.data()), count);
      table().from_float[format()](static_cast<const float*>(wide.data()), back.data(), count);
      EXPECT_EQ(wide.values(), in.values());
      EXPECT_EQ(back.values(), in.values());
      EXPECT_TRUE(wide.is_guard_intact() && back.is_guard_intact());
    }
  }
}

std::vector<Setting> half_settings() {
  std::vector<Setting> settings = vector_settings();
  std::erase_if(settings, [](const Setting& setting) { return setting.format == kFormatF32; });
  return settings;
}

INSTANTIATE_TEST_SUITE_P(All, HalfTest, testing::ValuesIn(half_settings()), setting_name);
INSTANTIATE_TEST_SUITE_P(All, ConversionTest, testing::ValuesIn(vector_settings()), setting_name);

}  // namespace
}  // namespace llava::kernels
