// SPDX-License-Identifier: Apache-2.0
//
// Element-wise kernels, norms and the rotary embedding beside their scalar twins, and the accuracy
// of the activations against double precision.
#include <bit>
#include <cmath>
#include <limits>

#include "llava/kernels/kernel_case.h"

namespace llava::kernels {
namespace {

constexpr int64_t kLengths = 140;
constexpr Unary kKinds[] = {kUnaryGelu, kUnaryGeluTanh, kUnaryQuickGelu, kUnarySilu, kUnaryRelu};

class ElementwiseKernelTest : public KernelCase {
 protected:
  // Bounds of `factor` float32 roundings of each value's magnitude.
  static std::vector<double> bounds(const std::vector<float>& values, double factor) {
    std::vector<double> list;
    for (const float value : values) {
      list.push_back(factor * kFloatRoundoff * std::fabs(static_cast<double>(value)));
    }
    return list;
  }
};

TEST_P(ElementwiseKernelTest, UnaryEqualsScalar) {
  for (const Unary kind : kKinds) {
    for (int64_t count = 0; count <= kLengths; ++count) {
      const Array x = random_array(count, 12.0f, count % 4);
      Array got(format(), count, (count + 1) % 3);
      Array expected(format(), count);
      table().unary[format()](x.data(), got.data(), count, kind);
      scalar().unary[format()](x.data(), expected.data(), count, kind);
      SCOPED_TRACE(kind);
      expect_near(got, expected, bounds(x.values(), 16), format());
    }
  }
}

TEST_P(ElementwiseKernelTest, AddScaledEqualsScalarExactly) {
  for (int64_t count = 0; count <= kLengths; ++count) {
    const Array x = random_array(count, 3.0f, count % 4);
    const Array y = random_array(count, 3.0f, (count + 2) % 5);
    Array got(format(), count, 1);
    Array expected(format(), count);
    table().add_scaled[format()](x.data(), y.data(), 0.37f, got.data(), count);
    scalar().add_scaled[format()](x.data(), y.data(), 0.37f, expected.data(), count);
    ASSERT_EQ(got.values(), expected.values());
    ASSERT_TRUE(got.is_guard_intact());
  }
}

TEST_P(ElementwiseKernelTest, SiluMulEqualsScalar) {
  for (int64_t count = 0; count <= kLengths; ++count) {
    const Array gate = random_array(count, 8.0f, count % 4);
    const Array up = random_array(count, 2.0f, (count + 1) % 4);
    Array got(format(), count, 2);
    Array expected(format(), count);
    table().silu_mul[format()](gate.data(), up.data(), got.data(), count);
    scalar().silu_mul[format()](gate.data(), up.data(), expected.data(), count);
    // silu may fall on the other side of a tie: one unit of it.
    std::vector<double> tolerance = bounds(gate.values(), 16);
    const std::vector<float> g = gate.values();
    for (std::size_t i = 0; i < g.size(); ++i) {
      tolerance[i] = 2 * (tolerance[i] + 2 * roundoff(format()) * std::fabs(double{g[i]}));
    }
    expect_near(got, expected, tolerance, format());
  }
}

TEST_P(ElementwiseKernelTest, NormsEqualScalar) {
  for (int64_t width = 1; width <= kLengths; ++width) {
    const Array x = random_array(3 * width, 2.0f, width % 4);
    const Array weight = random_array(width, 1.5f, (width + 1) % 4);
    const Array bias = random_array(width, 1.0f, (width + 2) % 4);
    Array got(format(), 3 * width, 1);
    Array expected(format(), 3 * width);
    table().rms_norm[format()](x.data(), weight.data(), 1e-5f, got.data(), 3, width);
    scalar().rms_norm[format()](x.data(), weight.data(), 1e-5f, expected.data(), 3, width);
    // The inner rounding may go the other way: a unit of the value before the weight.
    std::vector<double> tolerance;
    for (const float value : expected.values()) {
      tolerance.push_back((static_cast<double>(width) * kFloatRoundoff + 2 * roundoff(format())) *
                          std::fabs(double{value}));
    }
    expect_near(got, expected, tolerance, format());

    table().layer_norm[format()](x.data(), weight.data(), bias.data(), 1e-5f, got.data(), 3, width);
    scalar().layer_norm[format()](x.data(), weight.data(), bias.data(), 1e-5f, expected.data(), 3,
                                  width);
    // Normalised values are at most sqrt(width); mean and variance carry width roundings.
    const double sum_error = static_cast<double>(width + 8) * kFloatRoundoff;
    const std::vector<double> layer_bounds(expected.values().size(),
                                           sum_error * 8 * std::sqrt(static_cast<double>(width)));
    expect_near(got, expected, layer_bounds, format());
  }
}

TEST_P(ElementwiseKernelTest, RopeEqualsScalarExactly) {
  for (int64_t width = 2; width <= kLengths; width += 2) {
    const Array x = random_array(3 * width, 4.0f, width % 3);
    const Array cos = random_array(width, 1.0f, 1);
    const Array sin = random_array(width, 1.0f, 3);
    Array got(format(), 3 * width, 1);
    Array expected(format(), 3 * width);
    table().rope[format()](x.data(), cos.data(), sin.data(), got.data(), 3, width);
    scalar().rope[format()](x.data(), cos.data(), sin.data(), expected.data(), 3, width);
    ASSERT_EQ(got.values(), expected.values()) << width;
    ASSERT_TRUE(got.is_guard_intact());
  }
}

TEST_P(ElementwiseKernelTest, SiluMulGradientEqualsScalar) {
  for (int64_t count = 0; count <= kLengths; ++count) {
    const Array gate = random_array(count, 8.0f, count % 4);
    const Array up = random_array(count, 2.0f, (count + 1) % 4);
    const Array gradient = random_array(count, 1.0f, (count + 2) % 4);
    Array got_gate(format(), count, 2), got_up(format(), count, 1);
    Array gate_expected(format(), count), up_expected(format(), count);
    table().silu_mul_gradient[format()](gate.data(), up.data(), gradient.data(), got_gate.data(),
                                        got_up.data(), count);
    scalar().silu_mul_gradient[format()](gate.data(), up.data(), gradient.data(),
                                         gate_expected.data(), up_expected.data(), count);
    // silu may fall on the other side of a tie: one unit of it, times a gradient of at most 1. The
    // derivative loses to cancellation what x has in it.
    std::vector<double> tolerance = bounds(gate.values(), 16);
    const std::vector<float> g = gate.values();
    for (std::size_t i = 0; i < g.size(); ++i) {
      tolerance[i] = 2 * (tolerance[i] + 16 * kFloatRoundoff +
                          2 * roundoff(format()) * (1 + std::fabs(double{g[i]})));
    }
    expect_near(got_up, up_expected, tolerance, format());
    expect_near(got_gate, gate_expected, tolerance, format());
  }
}

TEST_P(ElementwiseKernelTest, RmsNormGradientEqualsScalar) {
  constexpr int64_t kRows = 3;
  for (int64_t width = 1; width <= kLengths; ++width) {
    const Array x = random_array(kRows * width, 2.0f, width % 4);
    const Array weight = random_array(width, 1.5f, (width + 1) % 4);
    const Array gradient = random_array(kRows * width, 1.0f, (width + 2) % 4);
    Array got(format(), kRows * width, 1), expected(format(), kRows * width);
    const auto size = static_cast<std::size_t>(width);
    std::vector<float> weights_got(size, 0.25f), weights_expected(size, 0.25f);
    table().rms_norm_gradient[format()](x.data(), weight.data(), 1e-2f, gradient.data(), got.data(),
                                        weights_got.data(), kRows, width);
    scalar().rms_norm_gradient[format()](x.data(), weight.data(), 1e-2f, gradient.data(),
                                         expected.data(), weights_expected.data(), kRows, width);
    // 1 / rms is at most 10, normalised values at most sqrt(width), as is what they sum to.
    const double size_of_terms = 10 * 1.5 * (1 + static_cast<double>(width));
    const std::vector<double> tolerance(
        expected.values().size(), static_cast<double>(width + 8) * kFloatRoundoff * size_of_terms);
    expect_near(got, expected, tolerance, format());
    for (std::size_t i = 0; i < size; ++i) {
      ASSERT_NEAR(weights_got[i], weights_expected[i],
                  4 * kRows * (roundoff(format()) + static_cast<double>(width) * kFloatRoundoff) *
                      std::sqrt(static_cast<double>(width)));
    }
    Array without(format(), kRows * width);
    table().rms_norm_gradient[format()](x.data(), weight.data(), 1e-2f, gradient.data(),
                                        without.data(), nullptr, kRows, width);
    ASSERT_EQ(without.values(), got.values());
  }
}

TEST_P(ElementwiseKernelTest, SpecialValuesPropagate) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Array x(format(), {nan, infinity, 0.0f, -200.0f, 200.0f});
  for (const Unary kind : kKinds) {
    Array out(format(), 5);
    table().unary[format()](x.data(), out.data(), 5, kind);
    const std::vector<float> y = out.values();
    EXPECT_TRUE(std::isnan(y[0])) << kind;
    EXPECT_EQ(y[1], infinity) << kind;
    EXPECT_EQ(y[2], 0.0f) << kind;
    EXPECT_EQ(y[3], 0.0f) << kind;
    EXPECT_EQ(y[4], 200.0f) << kind;
  }
}

// Largest error of a float32 activation over a fine sweep, in units in the last place.
class AccuracyTest : public testing::TestWithParam<const KernelTable*> {
 protected:
  static double worst_units(const KernelTable& table, Unary kind, double (*function)(double),
                            float low, float high) {
    constexpr int64_t kPoints = 200001;
    std::vector<float> x(kPoints);
    std::vector<float> y(kPoints);
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = low + (high - low) * static_cast<float>(i) / static_cast<float>(kPoints - 1);
    }
    table.unary[kFormatF32](x.data(), y.data(), kPoints, kind);
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = function(x[i]);
      if (std::fabs(exact) < 0x1.0p-126) continue;
      const double unit = std::ldexp(1.0, std::ilogb(exact) - 23);
      worst = std::max(worst, std::fabs(y[i] - exact) / unit);
    }
    return worst;
  }
};

TEST_P(AccuracyTest, SiluAndGeluAreWithinAFewUnitsEverywhere) {
  const auto silu = [](double v) { return v / (1 + std::exp(-v)); };
  const auto gelu = [](double v) { return 0.5 * v * std::erfc(-v * std::sqrt(0.5)); };
  const double silu_units = worst_units(*GetParam(), kUnarySilu, silu, -86.0f, 86.0f);
  const double gelu_units = worst_units(*GetParam(), kUnaryGelu, gelu, -12.9f, 12.9f);
  RecordProperty("silu_units", std::to_string(silu_units));
  RecordProperty("gelu_units", std::to_string(gelu_units));
  EXPECT_LE(silu_units, 3.0);
  EXPECT_LE(gelu_units, 6.0);
}

TEST_P(AccuracyTest, SpecifiedValues) {
  const auto at = [&](Unary kind, float x) {
    float y = 0;
    GetParam()->unary[kFormatF32](&x, &y, 1, kind);
    return y;
  };
  EXPECT_NEAR(at(kUnaryQuickGelu, -3.0f), -0.01807131, 1e-8);
  EXPECT_NEAR(at(kUnaryQuickGelu, -1.0f), -0.15420423, 3e-8);
  EXPECT_NEAR(at(kUnaryQuickGelu, 0.5f), 0.35038844, 6e-8);
  EXPECT_NEAR(at(kUnaryQuickGelu, 3.0f), 2.98192883, 3e-7);
  EXPECT_NEAR(at(kUnaryGelu, -1.0f), -0.15865529, 5e-8);
  EXPECT_NEAR(at(kUnaryGelu, 0.5f), 0.34573120, 6e-8);
}

INSTANTIATE_TEST_SUITE_P(All, ElementwiseKernelTest, testing::ValuesIn(vector_settings()),
                         setting_name);
std::string table_name(const testing::TestParamInfo<const KernelTable*>& info) {
  return info.param->name;
}

INSTANTIATE_TEST_SUITE_P(All, AccuracyTest,
                         testing::ValuesIn(available().begin(), available().end()), table_name);

}  // namespace
}  // namespace llava::kernels
