// SPDX-License-Identifier: Apache-2.0
//
// The 16-bit formats against their definitions, evaluated in double precision: every 16-bit value,
// and float32 values at and beside every tie and over the whole range.
#include "llava/core/float_formats.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace llava {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Format {
  int mantissa_bits;
  int exponent_bits;
  float (*widen)(uint16_t) noexcept;
  uint16_t (*narrow)(float) noexcept;

  int bias() const { return (1 << (exponent_bits - 1)) - 1; }

  // What the bits mean.
  double value_of(uint16_t bits) const {
    const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
    const int mantissa = bits & ((1 << mantissa_bits) - 1);
    const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
    if (exponent == (1 << exponent_bits) - 1) {
      return mantissa != 0 ? std::numeric_limits<double>::quiet_NaN() : sign * kInfinity;
    }
    if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias() - mantissa_bits);
    return sign * std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias() - mantissa_bits);
  }

  // The value nearest to x, ties to even; beyond the largest, infinity.
  double nearest(double x) const {
    if (x == 0 || !std::isfinite(x)) return x;
    const int exponent = std::max(std::ilogb(x), 1 - bias());
    const double unit = std::ldexp(1.0, exponent - mantissa_bits);
    const double result = std::rint(x / unit) * unit;
    return std::fabs(result) >= std::ldexp(1.0, bias() + 1) ? std::copysign(kInfinity, x) : result;
  }
};

class FloatFormatTest : public testing::TestWithParam<Format> {
 protected:
  static void expect_nearest(float x) {
    const Format& format = GetParam();
    const uint16_t bits = format.narrow(x);
    const double expected = format.nearest(static_cast<double>(x));
    ASSERT_EQ(format.value_of(bits), expected) << "of " << x;
    ASSERT_EQ((bits & 0x8000) != 0, std::signbit(x)) << "of " << x;
  }
};

TEST_P(FloatFormatTest, WideningIsExactForEveryValue) {
  const Format& format = GetParam();
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto narrow = static_cast<uint16_t>(bits);
    const double expected = format.value_of(narrow);
    const float wide = format.widen(narrow);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(wide)) << bits;
      ASSERT_TRUE(std::isnan(format.widen(format.narrow(wide)))) << bits;
    } else {
      ASSERT_EQ(static_cast<double>(wide), expected) << bits;
      ASSERT_EQ(std::signbit(wide), (bits & 0x8000) != 0) << bits;
      ASSERT_EQ(format.narrow(wide), narrow);
    }
  }
}

TEST_P(FloatFormatTest, TiesGoToEven) {
  const Format& format = GetParam();
  for (uint32_t bits = 0; bits < 0x7FFF; ++bits) {
    const double low = format.value_of(static_cast<uint16_t>(bits));
    const double high = format.value_of(static_cast<uint16_t>(bits + 1));
    if (!std::isfinite(low) || !std::isfinite(high)) continue;
    const auto middle = static_cast<float>((low + high) / 2);
    for (const float x : {middle, std::nextafter(middle, 0.0f),
                          std::nextafter(middle, std::numeric_limits<float>::infinity())}) {
      expect_nearest(x);
      expect_nearest(-x);
    }
  }
}

TEST_P(FloatFormatTest, NarrowingOverTheWholeRange) {
  // A prime step visits every exponent with ever different mantissas.
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 1999) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (std::isnan(x)) continue;
    expect_nearest(x);
    if (HasFatalFailure()) return;
  }
}

TEST_P(FloatFormatTest, LimitsOfTheRange) {
  const Format& format = GetParam();
  const float largest = static_cast<float>(format.value_of(
      static_cast<uint16_t>(((1 << format.exponent_bits) - 1) * (1 << format.mantissa_bits) - 1)));
  for (const float x :
       {0.0f, -0.0f, largest, std::nextafter(largest, 2 * largest),
        std::numeric_limits<float>::max(), std::numeric_limits<float>::min(),
        std::numeric_limits<float>::denorm_min(), std::numeric_limits<float>::infinity()}) {
    expect_nearest(x);
    expect_nearest(-x);
  }
}

TEST_P(FloatFormatTest, EveryKindOfNanStaysOne) {
  const Format& format = GetParam();
  for (const uint32_t bits : {0x7F800001u, 0x7FC00000u, 0x7FFFFFFFu, 0xFF800001u, 0xFFFFFFFFu}) {
    const uint16_t narrow = format.narrow(std::bit_cast<float>(bits));
    EXPECT_TRUE(std::isnan(format.value_of(narrow))) << bits;
    EXPECT_EQ(narrow >> 15, bits >> 31);
  }
}

INSTANTIATE_TEST_SUITE_P(All, FloatFormatTest,
                         testing::Values(Format{10, 5, float_from_f16, f16_from_float},
                                         Format{7, 8, float_from_bf16, bf16_from_float}),
                         [](const auto& tested) {
                           return tested.param.mantissa_bits == 10 ? "float16" : "bfloat16";
                         });

}  // namespace
}  // namespace llava
